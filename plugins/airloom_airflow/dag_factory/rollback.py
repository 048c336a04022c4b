"""The `rollback` DAG: back to the champion before. By hand only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan
from airloom_airflow.dag_factory.dag import add_stages, build_family_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_rollback_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """Started by hand; updates the deployment's asset where the pipeline deploys."""
    dag = build_family_dag(pipeline, plan, source, "makes the champion before champion again")
    add_stages(dag, pipeline, plan.tasks)
    return dag
