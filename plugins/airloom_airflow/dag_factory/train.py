"""The `train` DAG: from raw data to a registered challenger. By cron, by drift, or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan
from airloom_airflow.dag_factory.dag import add_stages, build_family_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_train_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """Started by its cron or by drift's asset; updates the dataset's and the model's."""
    dag = build_family_dag(pipeline, plan, source, "trains a model and registers it where the gate lets it through")
    add_stages(dag, pipeline, plan.tasks)
    return dag
