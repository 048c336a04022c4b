"""What a stage is told: from Airflow's context of a task to the protocol's `StageContext`. Operators call it.

What the run was started with (its conf) is checked here, before anything of the stage starts, and is part of the
pipeline that the stage sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airloom.protocol.context import LineageParent, StageContext, result_uri, run_folder
from airloom.settings import Settings
from airloom.spec.orchestration import Family
from airloom.spec.parameters import (
    PARAMETERS,
    apply_parameters,
    check_parameters,
    find_family,
    guess_family,
    require_timestamp,
)
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import find_earlier, find_results_run
from airloom_airflow.operators.failures import translated_for_airflow

if TYPE_CHECKING:
    from airflow.sdk import Context


def build_stage_context(
    pipeline: Pipeline, stage: str, earlier: tuple[str, ...], settings: Settings, context: Context
) -> StageContext:
    """One try of one task, as the stage sees it.

    Args:
        pipeline: the resolved pipeline file.
        stage: the stage's name.
        earlier: the stages before it in this run.
        settings: the installation.
        context: Airflow's context of the running task.

    Errors:
        AirflowFailException: the pipeline has no such stage; the run was started with what its DAG does not take.
    """
    dag_run = context["dag_run"]
    end = dag_run.data_interval_end
    run_id = find_run_id(pipeline, context)
    with translated_for_airflow():
        find_earlier(pipeline, stage)  # refuses a stage that the pipeline does not have
        family, params = _check_conf(pipeline, stage, dag_run)
        seen = apply_parameters(pipeline, family, params) if family else pipeline
        window_end = _find_window_end(pipeline, family, params, dag_run)
    return StageContext(
        team=pipeline.metadata.team,
        pipeline=pipeline.metadata.name,
        stage=stage,
        run_id=run_id,
        attempt=max(1, context["ti"].try_number),
        spec=seen.model_dump(mode="json"),
        pipeline_uri=pipeline_uri(pipeline, settings),
        inputs={name: published_result_uri(pipeline, name, settings, run_id) for name in earlier},
        params=params,
        data_interval_end=end.isoformat() if end else None,
        window_end=window_end,
        backfill=is_backfill(dag_run),
        lineage_parent=find_lineage_parent(context["ti"]),
        trace_parent=(getattr(context["ti"], "context_carrier", None) or {}).get("traceparent"),
    )


def is_backfill(dag_run: Any) -> bool:
    """Whether an Airflow backfill made the run."""
    return bool(dag_run.run_type == "backfill")


def _check_conf(pipeline: Pipeline, stage: str, dag_run: Any) -> tuple[Family | None, dict[str, Any]]:
    """The family whose parameters count, and what was given of them.

    A DAG of the pipeline takes its own parameters and nothing else. In somebody's own DAG the conf may be meant for
    other tasks too: what the stage knows is checked, the rest is passed on as it is.
    """
    given = {name: value for name, value in (dag_run.conf or {}).items() if value is not None}
    family = find_family(pipeline, dag_run.dag_id)
    if family is not None:
        return family, check_parameters(family, given)
    family = guess_family(pipeline, stage)
    known = PARAMETERS[family].model_fields if family else {}
    ours = {name: value for name, value in given.items() if name in known}
    return family, {**given, **(check_parameters(family, ours) if family else {})}


def _find_window_end(pipeline: Pipeline, family: Family | None, params: dict[str, Any], dag_run: Any) -> str | None:
    """Asked for; else the end of the interval that Airflow scheduled the run for. None: now."""
    if family not in ("train", "score", "monitor"):
        return None
    if "window_end" in params:
        return str(params["window_end"])
    if dag_run.data_interval_end is None or dag_run.run_type not in ("scheduled", "backfill"):
        return None
    if is_backfill(dag_run) and family != "monitor":  # a logged prediction always has a time
        require_timestamp(pipeline, f"a backfill of {family}")
    return str(dag_run.data_interval_end.isoformat())


def find_run_id(pipeline: Pipeline, context: Context) -> str:
    """The run as the pipeline's results are kept by."""
    return find_results_run(pipeline, context["ti"].dag_id, context["run_id"])


def pipeline_uri(pipeline: Pipeline, settings: Settings) -> str:
    """Prefix of everything that the pipeline keeps."""
    return f"{settings.artifacts_uri}/{pipeline.metadata.team}/{pipeline.metadata.name}"


def published_result_uri(pipeline: Pipeline, stage: str, settings: Settings, run_id: str) -> str:
    """Where a stage of a run publishes its result."""
    return result_uri(f"{pipeline_uri(pipeline, settings)}/runs/{run_folder(run_id)}", stage)


def find_lineage_parent(task_instance: Any) -> LineageParent | None:
    """The task's OpenLineage run and its DAG run's; None where the provider is off."""
    from airflow.providers.openlineage import conf

    if conf.is_disabled():
        return None
    from airflow.providers.openlineage.plugins import macros  # half a second, where nothing else has loaded it

    return LineageParent(
        namespace=macros.lineage_job_namespace(),  # type: ignore[no-untyped-call]
        name=macros.lineage_job_name(task_instance),
        run_id=macros.lineage_run_id(task_instance),
        root_namespace=macros.lineage_root_job_namespace(task_instance),
        root_name=macros.lineage_root_job_name(task_instance),
        root_run_id=macros.lineage_root_run_id(task_instance),
    )
