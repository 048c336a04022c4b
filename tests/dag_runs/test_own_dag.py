"""A stage and the drift sensor in somebody's own DAG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk import DAG
from tests.dag_runs.conftest import instruct
from tests.dag_runs.own_dag import build_own_dag
from tests.dag_runs.test_drift_retrains import breach, list_events
from tests.unit.airloom_airflow import home


def take_in(dag: DAG, folder: Path) -> None:
    """Give Airflow the DAG as its DAG processor would."""
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="airloom")
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "airloom", bundle_version=None)


@pytest.mark.parametrize(
    ("facts", "state"), [(breach("own"), "success"), ({"breached": False, "reason": "calm"}, "skipped")]
)
def test_a_breach_found_in_somebodys_own_dag_asks_for_a_training(
    dags: Callable[..., dict[str, DAG]], tmp_path, facts, state
):
    name = f"own_{state}"
    generated = dags(name)
    root = home.HOME / "pipelines"
    dag = build_own_dag(root / "ops" / f"{name}.yaml", root)
    take_in(dag, tmp_path)
    instruct(generated["monitor"], facts={"monitor": facts})
    run = dag.test(run_conf={"for_their_own_task": True})
    states = {task.task_id: str(task.state) for task in run.get_task_instances()}
    assert states == {"announce": "success", "monitor": "success", "drift": state}
    assert [event["drift_id"] for event in list_events(f"airloom://ops/{name}/drift")] == ["own"] * (state == "success")
