"""Stages of a pipeline file in hand-written DAGs: the examples are parsed and run as Airflow does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.protocol.context import run_folder


@pytest.fixture
def examples(load_examples: Callable[[Path], dict[str, DAG]], tmp_path: Path) -> dict[str, DAG]:
    """The examples' DAGs by id, of a pipeline that has no DAGs of its own."""
    return load_examples(write_pipeline(tmp_path, "own", text=FULL))


def list_results(run: Any, artifacts: Path) -> list[str]:
    """The stages whose results the run has."""
    [folder] = (artifacts / "ops" / "own" / "runs").iterdir()
    assert folder.name == run_folder(f"{run.dag_id}__{run.run_id}")
    return sorted(path.name for path in folder.iterdir())


def test_stages_run_among_tasks_of_ones_own(examples: dict[str, DAG], tmp_path: Path) -> None:
    run = examples["rows_then_ingest"].test()
    assert {task.task_id: str(task.state) for task in run.get_task_instances()} == dict.fromkeys(
        ("prepare_rows", "ingest", "validate"), "success"
    )
    assert list_results(run, tmp_path / "artifacts") == ["ingest", "validate"]


def test_stages_run_in_a_task_group_and_under_ids_of_ones_own(examples: dict[str, DAG], tmp_path: Path) -> None:
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


def test_stages_as_pods_are_parsed_without_a_cluster(examples: dict[str, DAG]) -> None:
    tasks = examples["stages_as_pods"].task_dict
    assert {name: (task.task_type, task.stage, len(task.earlier)) for name, task in tasks.items()} == {
        "ingest": ("StagePodOperator", "ingest", 0),
        "train": ("StagePodOperator", "train", 3),
    }
