"""Whole runs of a pipeline's DAGs, stage after stage, each a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow.sdk import DAG

from airloom.protocol.context import run_folder


def test_a_training_runs_every_stage_and_puts_its_promotion_in_line(
    dags: Callable[..., dict[str, DAG]], tmp_path: Path
):
    run = dags("whole")["train"].test()
    assert {str(task.state) for task in run.get_task_instances()} == {"success"}
    results = tmp_path / "artifacts" / "ops" / "whole" / "runs" / run_folder(run.run_id)
    assert {path.parent.name for path in results.glob("*/result.json")} == set(run.dag.task_ids)


def test_a_permanent_failure_ends_the_run_at_once(dags: Callable[..., dict[str, DAG]]):
    run = dags("failing")["train"].test(run_conf={"behaviour": {"gate": "permanent"}})
    states = {task.task_id: (str(task.state), task.try_number) for task in run.get_task_instances()}
    assert states["test"] == ("success", 1)
    assert states["gate"] == ("failed", 1)
    assert states["register"][0] == "upstream_failed"
