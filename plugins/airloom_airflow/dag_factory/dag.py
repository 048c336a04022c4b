"""A family's DAG: its name, its parameters, its chain of stages with their options, and who is notified."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import DAG, Param

from airloom.settings import load_runtime
from airloom.spec.parameters import build_forms
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, TaskPlan, build_groups, dag_id
from airloom_airflow.dag_factory.documentation import PURPOSES, build_documentation
from airloom_airflow.dag_factory.schedule import build_asset, build_schedule
from airloom_airflow.notifications import build_callbacks, build_deadlines
from airloom_airflow.operators.stage_context import is_backfill
from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator
from airloom_airflow.sensors.drift import DriftSensor

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

_DRIFT = "drift"


def build_dag(pipeline: Pipeline, plan: DagPlan, source: str) -> DAG:
    """One DAG of a pipeline.

    Args:
        pipeline: the resolved pipeline file.
        plan: which of its DAGs.
        source: the pipeline file and the digest of what it resolves to, shown in the DAG's documentation. With the
            digest every change of the pipeline is a new version of the DAG.
    """
    metadata, airflow = pipeline.metadata, pipeline.spec.airflow
    options = airflow.find_dag_options(plan.family)
    dag = DAG(
        plan.dag_id,
        description=" – ".join(part for part in (metadata.description.rstrip("."), PURPOSES[plan.family]) if part),
        doc_md=build_documentation(pipeline, plan, source),
        schedule=build_schedule(pipeline, plan),
        catchup=options.catchup,
        max_active_runs=options.max_active_runs,
        tags={metadata.team, plan.family, *metadata.tags},
        start_date=airflow.started_at,
        **build_deadlines(pipeline, options.deadline_seconds),
        **_load_settings(),
    )
    _add_tasks(dag, pipeline, plan.tasks)
    # Last, and not given to DAG(): that would validate the defaults on every parse, and every task would copy them all,
    # which together doubles what a pipeline takes. A run looks the DAG's up beside the task's.
    for name, (description, schema) in build_forms(plan.family).items():
        dag.params[name] = Param(None, description, source="dag", schema=schema)
    return dag


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


def find_stage_operator(runtime: str) -> Callable[..., BaseOperator]:
    """The operator of the installation's runtime; Kubernetes' libraries are loaded only where they are used."""
    if runtime == "subprocess":
        return StageSubprocessOperator
    from airloom_airflow.operators.stage_pod import StagePodOperator

    return StagePodOperator


def _add_tasks(dag: DAG, pipeline: Pipeline, tasks: tuple[TaskPlan, ...]) -> None:
    """The stages as tasks, in their order; last, in the `monitor` DAG, what asks for a retraining."""
    runtime = load_runtime()
    stage_operator = find_stage_operator(runtime)
    groups = build_groups(pipeline, tuple(task.stage for task in tasks)) if runtime == "kubernetes" else {}
    spec = pipeline.spec
    every = {"owner": pipeline.metadata.owner, "retry_delay": timedelta(seconds=spec.retry_delay_seconds)}
    made: dict[str, BaseOperator] = {}
    for task in tasks:
        given = {**every, **_build_options(pipeline, task.stage), **build_callbacks(pipeline, task.stage)}
        if task.stage == _DRIFT:
            operator: BaseOperator = DriftSensor(
                task_id=_DRIFT,
                pipeline=pipeline,
                train_dag_id=dag_id(pipeline, "train"),
                asset=build_asset(pipeline, "drift"),
                retries=max(1, spec.retries),  # a deferred task may be lost once without harm
                **given,
            )
        else:
            operator = stage_operator(
                task_id=task.stage,
                pipeline=pipeline,
                earlier=tuple(made),
                retries=spec.retries,
                outlets=[build_asset(pipeline, kind) for kind in task.outlets],
                **({"group": groups[task.stage]} if groups else {}),
                **({"pre_execute": _update_no_live_asset} if "model" in task.outlets else {}),
                **given,
            )
        # Made without its DAG: with it, each class of the operator copies the DAG's defaults and parameters anew, and
        # there are none (a fifteenth of all the time that a pipeline takes).
        dag.add_task(operator)
        _follow(operator, [made[name] for name in task.upstream])
        made[task.stage] = operator


def _follow(operator: BaseOperator, upstream: list[BaseOperator]) -> None:
    """As `set_upstream`, which also makes sure that all are of one DAG, by the hash of all that is in it.

    That would be a seventh of all the time that a pipeline takes.
    """
    operator.upstream_task_ids.update(one.task_id for one in upstream)
    for one in upstream:
        one.downstream_task_ids.add(operator.task_id)


def _build_options(pipeline: Pipeline, task: str) -> dict[str, Any]:
    """Airflow's options of a task, those alone that the pipeline file gives."""
    airflow = pipeline.spec.airflow
    if not airflow.model_fields_set:  # most pipelines; it is asked for every task on every parse
        return {}
    options = airflow.find_task_options(task).model_dump(exclude_none=True)
    seconds = options.pop("execution_timeout_seconds", None)
    return {**options, "execution_timeout": timedelta(seconds=seconds)} if seconds else options


def _update_no_live_asset(context: Context) -> None:
    """A backfill's model is of a past interval: it is registered, and no promotion is started for it."""
    if is_backfill(context["dag_run"]):
        context["task"].outlets = []
