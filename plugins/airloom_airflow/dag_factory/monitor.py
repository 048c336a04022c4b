"""The `monitor` DAG: compares what the champion predicted with the truth; asks for retraining on drift."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, dag_id
from airloom_airflow.dag_factory.dag import add_stages, build_asset, build_family_dag
from airloom_airflow.sensors.drift import DriftSensor

if TYPE_CHECKING:
    from airflow.sdk import DAG

_DRIFT = "drift"


def build_monitor_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """Started by its cron or by hand; its last task updates drift's asset, which the `train` DAG is scheduled on."""
    dag = build_family_dag(pipeline, plan, source, "watches the deployed model")
    stages = add_stages(dag, pipeline, tuple(task for task in plan.tasks if task.stage != _DRIFT))
    for task in plan.tasks:
        if task.stage == _DRIFT:
            sensor = DriftSensor(
                task_id=_DRIFT,
                dag=dag,
                pipeline=pipeline,
                train_dag_id=dag_id(pipeline, "train"),
                asset=build_asset(pipeline, "drift"),
                owner=pipeline.metadata.owner,
                retries=max(1, pipeline.spec.retries),  # a deferred task may be lost once without harm
                retry_delay=timedelta(seconds=pipeline.spec.retry_delay_seconds),
            )
            for name in task.upstream:
                sensor.set_upstream(stages[name])
    return dag
