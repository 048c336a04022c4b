"""What the parse benches time, run in an environment with Airflow, one measurement a process; prints it as JSON.

    python airflow_programs.py airloom|by-hand|dag-factory|reparse|fresh FOLDER

`FOLDER` holds `pipelines/` and `dag-factory/` (see `pipelines.py`). Imports are not timed.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

REPEATS = 25


def main(mode: str, folder: Path) -> None:
    programs: dict[str, Callable[[Path], dict[str, float]]] = {
        "airloom": parse_by_airloom,
        "by-hand": construct_by_hand,
        "dag-factory": parse_by_dag_factory,
        "reparse": reparse,
        "fresh": open_fresh_disk,
    }
    print(json.dumps(programs[mode](folder)))


def timed(build: Callable[[], Iterable[Any]]) -> dict[str, float]:
    gc.collect()
    started = time.perf_counter()
    dags = list(build())
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "dags": len(dags), "tasks": sum(len(dag.tasks) for dag in dags)}


def parse_by_airloom(folder: Path) -> dict[str, float]:
    """The real path: YAML text → resolved pipeline → plans → DAGs."""
    from airloom_airflow.bundles.pipeline_file import build_dags

    root = folder / "pipelines"
    files = sorted(root.glob("*/*.yaml"))
    build_dags(files[0], root)
    return timed(lambda: [dag for file in files for dag in build_dags(file, root).values()])


def construct_by_hand(folder: Path) -> dict[str, float]:
    """What a person would write in Python: a loop that constructs the same DAGs of the same operators, no YAML."""
    from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param
    from airflow.sdk.definitions.timetables.assets import AssetOrTimeSchedule

    from airloom.spec import build_plans, load_pipeline
    from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator
    from airloom_airflow.sensors.drift import DriftSensor

    root = folder / "pipelines"
    files = sorted(root.glob("*/*.yaml"))
    template = load_pipeline(files[0], root=root)
    plans = build_plans(template)
    names = [(file.parent.name, file.stem) for file in files]
    delay = timedelta(seconds=30)

    def build() -> Iterable[DAG]:
        for team, name in names:
            own = template.metadata.model_copy(update={"team": team, "name": name})
            pipeline = template.model_copy(update={"metadata": own})
            for plan in plans:
                assets = [Asset(f"airloom://{team}/{name}/{kind}") for kind in plan.triggers]
                cron = CronTriggerTimetable(plan.schedule, timezone="UTC") if plan.schedule else None
                schedule = AssetOrTimeSchedule(timetable=cron, assets=assets) if cron and assets else cron or assets
                dag = DAG(
                    f"{team}__{name}__{plan.family}",
                    description="One of many",
                    doc_md="One of many, written by hand.",
                    schedule=schedule or None,
                    catchup=False,
                    max_active_runs=1,
                    tags={team, plan.family, "bench"},
                    params={"version": Param(None, type=["null", "string"])} if plan.family == "promote" else None,
                )
                made: dict[str, Any] = {}
                for task in plan.tasks:
                    if task.stage == "drift":
                        made["drift"] = DriftSensor(
                            task_id="drift",
                            dag=dag,
                            pipeline=pipeline,
                            train_dag_id=f"{team}__{name}__train",
                            asset=Asset(f"airloom://{team}/{name}/drift"),
                            owner="somebody",
                            retries=2,
                            retry_delay=delay,
                        )
                    else:
                        made[task.stage] = StageSubprocessOperator(
                            task_id=task.stage,
                            dag=dag,
                            pipeline=pipeline,
                            earlier=tuple(made),
                            owner="somebody",
                            retries=2,
                            retry_delay=delay,
                            outlets=[Asset(f"airloom://{team}/{name}/{kind}") for kind in task.outlets],
                        )
                    for upstream in task.upstream:
                        made[task.stage].set_upstream(made[upstream])
                yield dag

    next(iter(build()))
    return timed(build)


def parse_by_dag_factory(folder: Path) -> dict[str, float]:
    """dag-factory's own path, a file a pipeline, with the same DAGs and tasks: BashOperators."""
    from airflow.sdk import DAG
    from dagfactory import load_yaml_dags

    files = sorted((folder / "dag-factory").glob("*/*.yaml"))

    def build() -> Iterable[DAG]:
        found: dict[str, Any] = {}
        for file in files:
            load_yaml_dags(found, config_filepath=str(file))
        return [dag for dag in found.values() if isinstance(dag, DAG)]

    return timed(build)


def reparse(folder: Path) -> dict[str, float]:
    """What a task's process does before its work, imports aside: opens the bundle, parses the file of its own DAG.

    Gives the median over repeats; seconds.
    """
    import os
    import statistics

    from airflow.dag_processing.dagbag import BundleDagBag

    from airloom_airflow.bundles import PipelineDagBundle

    root = str(folder / "pipelines")
    PipelineDagBundle(name="airloom", pipelines=root).refresh()
    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "team00__model00000__train"
    os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "train"
    seconds = []
    for _ in range(REPEATS):
        gc.collect()
        started = time.perf_counter()
        bundle = PipelineDagBundle(name="airloom", pipelines=root)
        bundle.initialize()
        file = bundle.path / "team00" / "model00000.yaml.py"
        bag = BundleDagBag(
            dag_folder=str(file),
            safe_mode=False,
            load_op_links=False,
            bundle_path=bundle.path,
            bundle_name="airloom",
        )
        assert list(bag.dags) == ["team00__model00000__train"], bag.import_errors
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds[1:])}


def open_fresh_disk(folder: Path) -> dict[str, float]:
    """What a worker does to get at its DAG on a disk that never saw a refresh, Airloom's imports included; seconds.

    Airflow's own (its bundles, its DAG bag, the SDK) stand already, as in a worker that was just forked.
    """
    import os

    import airflow.sdk
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag

    assert airflow.sdk.DAG is not None
    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "team00__model00000__train"
    os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "train"
    gc.collect()
    started = time.perf_counter()
    bundle = DagBundlesManager().get_bundle("airloom")
    assert not bundle.path.exists(), "the disk is not fresh"
    bundle.initialize()
    bag = BundleDagBag(
        dag_folder=str(bundle.path / "team00" / "model00000.yaml.py"),
        safe_mode=False,
        load_op_links=False,
        bundle_path=bundle.path,
        bundle_name="airloom",
    )
    assert list(bag.dags) == ["team00__model00000__train"], bag.import_errors
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
