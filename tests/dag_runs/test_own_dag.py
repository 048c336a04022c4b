"""The drift sensor in somebody's own DAG, beside the pipeline's own DAGs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk import DAG
from tests.dag_runs.conftest import instruct
from tests.dag_runs.test_drift_retrains import breach, list_events
from tests.unit.airloom_airflow import home


@pytest.mark.parametrize(
    ("facts", "state"), [(breach("own"), "success"), ({"breached": False, "reason": "calm"}, "skipped")]
)
def test_a_breach_found_in_somebodys_own_dag_asks_for_a_training(
    dags: Callable[..., dict[str, DAG]], load_examples: Callable[[Path], dict[str, DAG]], facts, state
):
    name = f"own_{state}"
    instruct(dags(name)["monitor"], facts={"monitor": facts})
    dag = load_examples(home.HOME / "pipelines" / "ops" / f"{name}.yaml")["watched_model"]
    run = dag.test(run_conf={"for_their_own_task": True})
    states = {task.task_id: str(task.state) for task in run.get_task_instances()}
    assert states == {"announce": "success", "monitor": "success", "drift": state}
    assert [event["drift_id"] for event in list_events(f"airloom://ops/{name}/drift")] == ["own"] * (state == "success")
