"""What every family's DAG has: its name and documentation, its schedule, its chain of stages. Families call it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import DAG, Asset

from airloom.settings import load_settings
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import AssetKind, DagPlan, TaskPlan, asset_uri, build_groups
from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator
from airloom_airflow.public_names import AssetOrTimeSchedule, CronTriggerTimetable

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_DOCUMENTATION = """\
{purpose}

{description}

Pipeline `{name}`, made from {source}.
"""


def build_family_dag(pipeline: Pipeline, plan: DagPlan, source: str, purpose: str) -> DAG:
    """An empty DAG of a family.

    Args:
        pipeline: the resolved pipeline file.
        plan: the DAG's plan.
        source: the pipeline file and the digest of what it resolves to.
        purpose: one sentence on what the family does.
    """
    metadata = pipeline.metadata
    return DAG(
        plan.dag_id,
        description=" – ".join(part for part in (metadata.description.rstrip("."), purpose) if part),
        doc_md=_DOCUMENTATION.format(
            purpose=purpose,
            description=metadata.description,
            name=pipeline.full_name,
            source=source,
        ),
        schedule=build_schedule(pipeline, plan),
        catchup=False,
        max_active_runs=1,
        tags={metadata.team, plan.family, *metadata.tags},
        **_load_settings(),
    )


@functools.cache
def _load_settings() -> dict[str, Any]:
    """What the installation's airflow.cfg says of every DAG.

    Left to each DAG to look up, these three are a sixth of all the time that pipelines take to become DAGs.
    """
    return {
        "max_active_tasks": conf.getint("core", "max_active_tasks_per_dag"),
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


def build_schedule(pipeline: Pipeline, plan: DagPlan) -> Any:
    """The cron, the assets, either of both, or None: by hand."""
    assets = [build_asset(pipeline, kind) for kind in plan.triggers]
    if plan.schedule is None:
        return assets or None
    cron = CronTriggerTimetable(plan.schedule, timezone="UTC")
    return AssetOrTimeSchedule(timetable=cron, assets=assets) if assets else cron


def build_asset(pipeline: Pipeline, kind: AssetKind) -> Asset:
    """The Airflow asset behind one of the pipeline's kinds."""
    return Asset(asset_uri(pipeline, kind))


def find_stage_operator(runtime: str) -> Callable[..., BaseOperator]:
    """The operator of the installation's runtime; Kubernetes' libraries are loaded only where they are used."""
    if runtime == "subprocess":
        return StageSubprocessOperator
    from airloom_airflow.operators.stage_pod import StagePodOperator

    return StagePodOperator


def add_stages(dag: DAG, pipeline: Pipeline, tasks: tuple[TaskPlan, ...]) -> dict[str, BaseOperator]:
    """The stages as tasks, in their order; by name."""
    runtime = load_settings().runtime
    stage_operator = find_stage_operator(runtime)
    groups = build_groups(pipeline, tuple(task.stage for task in tasks)) if runtime == "kubernetes" else {}
    spec = pipeline.spec
    retry_delay = timedelta(seconds=spec.retry_delay_seconds)
    made: dict[str, BaseOperator] = {}
    for task in tasks:
        made[task.stage] = operator = stage_operator(
            task_id=task.stage,
            dag=dag,
            pipeline=pipeline,
            earlier=tuple(made),
            owner=pipeline.metadata.owner,
            retries=spec.retries,
            retry_delay=retry_delay,
            outlets=[build_asset(pipeline, kind) for kind in task.outlets],
            **({"group": groups[task.stage]} if groups else {}),
        )
        for name in task.upstream:
            operator.set_upstream(made[name])
    return made
