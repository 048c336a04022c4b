"""Whole runs of a pipeline's DAGs, stage after stage, each a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk import DAG
from tests.dag_runs.conftest import instruct
from tests.dag_runs.test_drift_retrains import list_queued
from tests.unit.airloom_airflow.pipelines import FULL

from airloom.protocol.context import run_folder


def test_a_training_runs_every_stage_and_puts_its_promotion_in_line(
    dags: Callable[..., dict[str, DAG]], tmp_path: Path
):
    run = dags("whole")["train"].test()
    assert {str(task.state) for task in run.get_task_instances()} == {"success"}
    results = tmp_path / "artifacts" / "ops" / "whole" / "runs" / run_folder(run.run_id)
    assert {path.parent.name for path in results.glob("*/result.json")} == set(run.dag.task_ids)


def test_a_permanent_failure_ends_the_run_at_once(dags: Callable[..., dict[str, DAG]]):
    dag = dags("failing")["train"]
    instruct(dag, behaviour={"gate": "permanent"})
    run = dag.test()
    states = {task.task_id: (str(task.state), task.try_number) for task in run.get_task_instances()}
    assert states["test"] == ("success", 1)
    assert states["gate"] == ("failed", 1)
    assert states["register"][0] == "upstream_failed"


@pytest.mark.parametrize(
    ("family", "conf", "words"),
    [
        ("train", {"max_iter": 10}, '{"params": {"max_iter": …}}'),
        ("features", {"seed": 1}, "it takes no parameters"),
        ("score", {"sorce": {}}, "did you mean 'source'?"),
        ("monitor", {"window_and": "2026-01-01"}, "did you mean 'window_end'?"),
        ("promote", {"versoin": 3}, "did you mean 'version'?"),
        ("rollback", {"versoin": "3"}, "did you mean 'version'?"),
    ],
)
def test_what_a_dag_does_not_take_ends_its_run_before_any_stage_starts(
    dags: Callable[..., dict[str, DAG]], tmp_path: Path, capfd: pytest.CaptureFixture[str], family, conf, words
):
    dag = dags("strict")[family]
    run = dag.test(run_conf=conf)
    states = {task.task_id: (str(task.state), task.try_number) for task in run.get_task_instances()}
    first, *later = [task.task_id for task in dag.topological_sort()]
    assert states[first] == ("failed", 1)  # three retries are allowed: none was made
    assert {states[name][0] for name in later} <= {"upstream_failed"}
    assert not list((tmp_path / "artifacts").rglob("result.json"))
    told = capfd.readouterr()
    assert words in told.out + told.err


def test_what_a_dag_takes_reaches_every_stage(dags: Callable[..., dict[str, DAG]], tmp_path: Path):
    told = tmp_path / "told.json"
    conf = {"params": {"told_file": str(told)}, "seed": 9, "window_days": None}
    run = dags("open")["train"].test(run_conf=conf)
    assert {str(task.state) for task in run.get_task_instances()} == {"success"}
    context = json.loads(told.read_text())["context"]
    assert context["stage"] == "register"
    assert context["params"] == {"params": {"told_file": str(told)}, "seed": 9}
    train = context["spec"]["spec"]["train"]
    assert (train["seed"], train["params"]) == (9, {"told_file": str(told)})


def test_an_event_of_an_asset_that_no_dag_declares_puts_a_training_in_line(dags: Callable[..., dict[str, DAG]]):
    """As Airflow's API records one."""
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    text = FULL.replace('  schedule: "@weekly"', "  schedule: {{assets: [s3://lake/undeclared]}}")
    run = dags("by_asset", text)["train"].test()  # a DAG that is known, and not paused
    assert run.dag_id not in list_queued()
    with create_session() as session:
        asset = session.scalar(select(AssetModel).where(AssetModel.uri == "s3://lake/undeclared"))
        assert asset is not None
        asset_manager.register_asset_change(asset=asset, session=session)
    assert run.dag_id in list_queued()
