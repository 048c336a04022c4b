"""The `promote` DAG: a challenger becomes the champion and is served. By the model's asset, or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan
from airloom_airflow.dag_factory.dag import add_stages, build_family_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_promote_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """Started by the model's asset where promotion is automatic; its trigger form takes a version."""
    dag = build_family_dag(pipeline, plan, source, "promotes a registered model to champion")
    # Given to DAG(), its default is validated on every parse: a tenth of the time that a pipeline takes.
    dag.params["version"] = Param(
        None, type=["null", "string"], description="Model version; empty: the newest challenger."
    )
    add_stages(dag, pipeline, plan.tasks)
    return dag
