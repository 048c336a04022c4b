"""Pipelines become DAGs: `build_dag`, one module a family, what they share in `dag`. Pure: no clock, network, Variable
or Connection, so the same pipeline always serialises the same.

`bundles.pipeline_file` calls it. Which stages and assets a family has is not decided here but in `airloom.spec.plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, Family
from airloom_airflow.dag_factory.features import build_features_dag
from airloom_airflow.dag_factory.monitor import build_monitor_dag
from airloom_airflow.dag_factory.promote import build_promote_dag
from airloom_airflow.dag_factory.rollback import build_rollback_dag
from airloom_airflow.dag_factory.score import build_score_dag
from airloom_airflow.dag_factory.train import build_train_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG

_BUILDERS: Mapping[Family, Callable[[Pipeline, DagPlan, str], DAG]] = {
    "train": build_train_dag,
    "features": build_features_dag,
    "score": build_score_dag,
    "monitor": build_monitor_dag,
    "promote": build_promote_dag,
    "rollback": build_rollback_dag,
}


def build_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """One DAG of a pipeline.

    Args:
        pipeline: the resolved pipeline file.
        plan: which of its DAGs.
        source: the pipeline file and the digest of what it resolves to, shown in the DAG's documentation. With the
            digest every change of the pipeline is a new version of the DAG.
    """
    return _BUILDERS[plan.family](pipeline, plan, source)
