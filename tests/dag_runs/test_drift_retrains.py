"""A monitor's verdict becomes an event of the drift asset, once a drift and once a cooldown; a training comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.models.asset import AssetDagRunQueue, AssetEvent, AssetModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import select
from tests.dag_runs.conftest import instruct
from tests.unit.airloom_airflow.pipelines import FULL


def monitor(dag: DAG, conf: dict[str, Any] | None = None, **facts: Any) -> dict[str, str]:
    """Run the monitor DAG with a stage that finds the facts; the states of its tasks."""
    instruct(dag, facts={"monitor": facts})
    run = dag.test(run_conf=conf or {})
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def breach(drift_id: str) -> dict[str, Any]:
    return {"breached": True, "drift_id": drift_id, "model_version": "3", "reason": "the season turned"}


def list_events(uri: str) -> list[dict[str, Any]]:
    with create_session() as session:
        query = select(AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id).order_by(AssetEvent.id)
        return list(session.scalars(query.where(AssetModel.uri == uri)))


def list_queued() -> set[str]:
    """DAGs that an asset's event has put in line."""
    with create_session() as session:
        return set(session.scalars(select(AssetDagRunQueue.target_dag_id)))


def test_a_drift_asks_for_one_training(dags: Callable[..., dict[str, DAG]]):
    dag = dags("drifting")["monitor"]
    assert monitor(dag, breached=False, reason="too few rows") == {"monitor": "success", "drift": "skipped"}
    assert list_events("airloom://ops/drifting/drift") == []

    assert monitor(dag, **breach("d1")) == {"monitor": "success", "drift": "success"}
    [event] = list_events("airloom://ops/drifting/drift")
    assert (event["drift_id"], event["model_version"], event["reason"]) == ("d1", "3", "the season turned")
    assert event["result_uri"].endswith("/monitor/result.json")
    assert "ops__drifting__train" in list_queued()

    assert monitor(dag, **breach("d1"))["drift"] == "skipped"  # told before
    assert monitor(dag, **breach("d2"))["drift"] == "skipped"  # the cooldown
    assert len(list_events("airloom://ops/drifting/drift")) == 1


def test_a_window_that_was_asked_for_asks_for_no_training(dags: Callable[..., dict[str, DAG]]):
    dag = dags("looking_back")["monitor"]
    states = monitor(dag, {"window_end": "2026-01-01T00:00:00Z"}, **breach("d1"))
    assert states == {"monitor": "success", "drift": "skipped"}
    assert list_events("airloom://ops/looking_back/drift") == []


def test_without_a_cooldown_each_drift_asks_for_a_training(dags: Callable[..., dict[str, DAG]]):
    dag = dags("eager", FULL.replace("cooldown_minutes: 60", "cooldown_minutes: 0"))["monitor"]
    for drift_id in ("d1", "d2", "d2"):
        monitor(dag, **breach(drift_id))
    assert [event["drift_id"] for event in list_events("airloom://ops/eager/drift")] == ["d1", "d2"]
