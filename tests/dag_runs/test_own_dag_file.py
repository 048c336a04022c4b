"""Stages of a pipeline file in a hand-written DAG: the example is parsed and run as Airflow does it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.unit.airloom_airflow import fake_stage
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.protocol.context import run_folder

EXAMPLES = Path(__file__).parent / "examples"


def test_stages_run_among_tasks_of_ones_own(database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    run = bag.dags["rows_then_ingest"].test()
    assert {task.task_id: str(task.state) for task in run.get_task_instances()} == dict.fromkeys(
        ("prepare_rows", "ingest", "validate"), "success"
    )
    runs = tmp_path / "artifacts" / "ops" / "own" / "runs"
    assert [path.name for path in runs.iterdir()] == [run_folder(f"rows_then_ingest__{run.run_id}")]
