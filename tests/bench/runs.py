"""Real DAG runs in the embedded runtime: what Airloom and Airflow add to a stage, and the flight pipeline beside one
plain script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from tests.bench.figures import SPEEDUPS_OFF, Figure, build_without

from airloom.demo.world import World
from airloom.embedded.airflow_api import AirflowApi
from airloom.embedded.runtime import Runtime
from airloom.protocol import StageResult
from airloom.protocol.context import result_uri, run_folder
from airloom.settings import Settings, load_settings
from airloom.stages.wiring import EmbeddedPorts

ROOT = Path(__file__).parents[2]
_MONTHS = (1, 2, 3)
_FLIGHT_STAGES = ("ingest", "validate", "features", "train", "evaluate", "test", "gate", "register")
_SMALL_RUNS = 6
_FLIGHT_RUNS = 3
_RUN_LIMIT_SECONDS = 300
_OVERHEAD_LIMIT_SECONDS = 0.5
_OVERHEAD = "overhead of a stage, median"
_FLIGHT = "flight pipeline, ingest to register"
_FLIGHT_OVERHEAD = "overhead of a flight stage, median"


@dataclass(frozen=True)
class Run:
    """A DAG run: seconds from its trigger to its own end, and by stage the overhead, which is the time since the stage
    before ended (or since the trigger) without the stage's own work; the last stage bears the run's ending too."""

    seconds: float
    overheads: Mapping[str, float]


def measure_runs() -> Iterator[Figure]:
    """One runtime for both, where the flight runs and the script take turns; then one without speedups."""
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folder = Path(name)
        write_pipelines(folder)
        with patch.dict(os.environ, build_variables(folder)):
            settings = load_settings()
            with Runtime(settings) as runtime:
                api = runtime.api()
                overhead = _time_overhead(api, settings)
                yield Figure(_OVERHEAD, overhead, "s", "limit", _OVERHEAD_LIMIT_SECONDS, 1.0)
                scripts, runs = [], []
                for number in range(_FLIGHT_RUNS):
                    scripts.append(_run_script(folder, number, runtime.addresses.mlflow))
                    runs.append(_run_flight(api, settings))
                seconds, flight_overhead = _summarise(runs)
                yield Figure(_FLIGHT, seconds, "s", "one plain script", median(scripts), 2.2)
                yield Figure(_FLIGHT_OVERHEAD, flight_overhead, "s", "limit", _OVERHEAD_LIMIT_SECONDS, 1.0)
            with patch.dict(os.environ, SPEEDUPS_OFF), Runtime(settings) as runtime:
                api = runtime.api()
                yield build_without(_OVERHEAD, _time_overhead(api, settings), overhead)
                slower, slower_overhead = _summarise([_run_flight(api, settings) for _ in range(_FLIGHT_RUNS)])
                yield build_without(_FLIGHT, slower, seconds)
                yield build_without(_FLIGHT_OVERHEAD, slower_overhead, flight_overhead)


def _time_overhead(api: AirflowApi, settings: Settings) -> float:
    api.wait_for_dag("examples__iris__train", 120)
    runs = [run_pipeline(api, settings, "examples", "iris") for _ in range(_SMALL_RUNS)][1:]
    return _summarise(runs)[1]


def _run_flight(api: AirflowApi, settings: Settings) -> Run:
    api.wait_for_dag("ops__flight_delay__train", 120)
    run = run_pipeline(api, settings, "ops", "flight_delay")
    if tuple(run.overheads) != _FLIGHT_STAGES:
        raise RuntimeError(f"the flight pipeline ran other stages than the script: {tuple(run.overheads)}")
    return run


def _summarise(runs: Sequence[Run]) -> tuple[float, float]:
    """Medians of a run's seconds, and of a stage's overhead."""
    overheads = [seconds for run in runs for seconds in run.overheads.values()]
    return median(run.seconds for run in runs), median(overheads)


def build_variables(folder: Path) -> dict[str, str]:
    """The environment of an installation in that folder, on free ports."""
    return {
        "AIRLOOM_HOME": str(folder / "home"),
        "AIRLOOM_DATA_ROOT": str(folder),
        "AIRLOOM_PIPELINES": str(folder / "pipelines"),
        "AIRLOOM_ENVIRONMENT": "",
        "OMP_NUM_THREADS": "1",
        **{f"AIRLOOM_{piece}_PORT": "0" for piece in ("AIRFLOW", "MLFLOW", "GATEWAY")},
    }


def write_pipelines(folder: Path) -> None:
    """The repository's pipelines, without caching (every run does all its work), and without promotion beside a run;
    and three months of flights."""
    source = ROOT / "dags" / "pipelines"
    for file in ("defaults.yaml", "examples/iris.yaml", "ops/flight_delay.yaml"):
        target = folder / "pipelines" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, target)
    defaults = folder / "pipelines" / "defaults.yaml"
    defaults.write_text(defaults.read_text().replace("spec:\n", "spec:\n  cache: false\n"))
    flights = folder / "pipelines" / "ops" / "flight_delay.yaml"
    flights.write_text(flights.read_text().replace("auto: true", "auto: false"))
    world = World(folder / "build" / "landing" / "flights", folder / "world")
    for month in _MONTHS:
        world.land(month)


def run_pipeline(api: AirflowApi, settings: Settings, team: str, pipeline: str) -> Run:
    """One training, which must succeed and do all its work."""
    dag_id = f"{team}__{pipeline}__train"
    started = time.time()
    run_id = api.trigger(dag_id, {})
    run = api.wait_for_run(dag_id, run_id, _RUN_LIMIT_SECONDS)
    if run["state"] != "success":
        raise RuntimeError(f"{dag_id} ended {run['state']}: {run_id}")
    tasks = sorted(api.task_instances(dag_id, run_id), key=_ended)
    prefix = f"{settings.artifacts_uri}/{team}/{pipeline}"
    store = EmbeddedPorts(settings, prefix).object_store
    overheads, before = {}, started
    for task in tasks:
        uri = result_uri(f"{prefix}/runs/{run_folder(run_id)}", task["task_id"])
        result = StageResult.from_json(store.read(uri))
        if result.reused_from:
            raise RuntimeError(f"{task['task_id']} of {run_id} did no work: it reused {result.reused_from}")
        overheads[task["task_id"]] = _ended(task) - before - result.timings["work"]
        before = _ended(task)
    overheads[tasks[-1]["task_id"]] += _ended(run) - before
    return Run(_ended(run) - started, overheads)


def _run_script(folder: Path, number: int, mlflow: str) -> float:
    script = Path(__file__).with_name("flight_script.py")
    flights = folder / "build" / "landing" / "flights"
    command = [sys.executable, str(script), str(flights), str(folder / f"script-{number}"), mlflow]
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"the plain script ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    if not told["rows"]:
        raise RuntimeError("the plain script read no rows")
    return seconds


def _ended(run_or_task: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(run_or_task["end_date"]).timestamp()
