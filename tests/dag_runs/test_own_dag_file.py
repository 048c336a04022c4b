"""Stages of a pipeline file in hand-written DAGs: the examples are parsed and run as Airflow does it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.airloom_airflow import fake_stage
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.protocol.context import run_folder

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def examples(database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The examples' DAGs by id, known to Airflow."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable} -S\n{Path(fake_stage.__file__).read_text()}")
    python.chmod(0o755)
    monkeypatch.setenv("AIRLOOM_STAGE_PYTHON", str(python))
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", (tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("EXAMPLE_PIPELINE", str(write_pipeline(tmp_path, "own", text=FULL)))
    bag = DagBag(dag_folder=str(EXAMPLES), bundle_path=EXAMPLES, bundle_name="airloom")
    assert bag.import_errors == {}
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "airloom", bundle_version=None)
    return bag.dags


def list_results(run: Any, artifacts: Path) -> list[str]:
    """The stages whose results the run has."""
    [folder] = (artifacts / "ops" / "own" / "runs").iterdir()
    assert folder.name == run_folder(f"{run.dag_id}__{run.run_id}")
    return sorted(path.name for path in folder.iterdir())


def test_stages_run_among_tasks_of_ones_own(examples: Any, tmp_path: Path) -> None:
    run = examples["rows_then_ingest"].test()
    assert {task.task_id: str(task.state) for task in run.get_task_instances()} == dict.fromkeys(
        ("prepare_rows", "ingest", "validate"), "success"
    )
    assert list_results(run, tmp_path / "artifacts") == ["ingest", "validate"]


def test_stages_run_in_a_task_group_and_under_ids_of_ones_own(examples: Any, tmp_path: Path) -> None:
    run = examples["grouped_stages"].test(run_conf={"told_file": str(tmp_path / "told.json")})
    tasks = {task.task_id: task for task in run.get_task_instances()}
    assert {name: str(task.state) for name, task in tasks.items()} == dict.fromkeys(
        ("data.ingest", "data.check_rows", "data_to_features"), "success"
    )
    assert list_results(run, tmp_path / "artifacts") == ["features", "ingest", "validate"]
    told = json.loads((tmp_path / "told.json").read_text())["context"]  # of the last one
    assert list(told["inputs"]) == ["ingest", "validate"]
    assert told["lineage_parent"]["name"] == "grouped_stages.data_to_features"
    values = {name: task.xcom_pull(task_ids=name) for name, task in tasks.items()}
    assert values["data.check_rows"] == told["inputs"]["validate"]
    assert values["data_to_features"].endswith("/features/result.json")
