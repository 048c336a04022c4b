"""The `features` DAG: materialises the feature views into the online store, between trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan
from airloom_airflow.dag_factory.dag import add_stages, build_family_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_features_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """Started by its cron or by hand."""
    dag = build_family_dag(pipeline, plan, source, "materialises the features afresh")
    add_stages(dag, pipeline, plan.tasks)
    return dag
