"""From a task to the request for its pod: what the stages in it are told, and its variables. `stage_pod` calls it.

What a pod looks like is `airloom_airflow.pods.pod`'s.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airloom.protocol.context import StageContext, StageGroup, StageStep
from airloom.protocol.launch import CONTEXT_VARIABLE
from airloom.settings import Settings
from airloom.spec.cluster import Profile
from airloom.spec.pipeline import Pipeline
from airloom_airflow.operators.attempt import build_attempt
from airloom_airflow.operators.pod_verdict import Launch
from airloom_airflow.operators.stage_context import (
    build_stage_context,
    find_lineage_parent,
    find_run_id,
    published_result_uri,
)
from airloom_airflow.operators.stage_name import list_task_ids
from airloom_airflow.pods.pod import TERMINATION_LOG, PodRequest

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True)
class StageTask:
    """A task, as its operator was built.

    Attributes:
        pipeline: the resolved pipeline file.
        earlier: the stages before it in the run.
        stages: that a pod started by it runs, it first.
    """

    pipeline: Pipeline
    earlier: tuple[str, ...]
    stages: tuple[str, ...]


def build_request(
    task: StageTask, settings: Settings, profile: Profile, context: Context, launch: Launch
) -> PodRequest:
    """The pod of one launch within the try that runs."""
    ti = context["ti"]
    stage = build_stage_context(task.pipeline, task.stages[0], task.earlier, settings, context)
    # Each pod is an attempt of its own, later ones higher: a lost pod may still write, and must not publish.
    stage = stage.model_copy(update={"attempt": build_attempt()})
    shared = len(task.stages) > 1
    document: StageContext | StageGroup = stage
    if shared:
        document = StageGroup(first=stage, rest=_build_steps(task, settings, context))
    last = launch.losses and launch.losses >= profile.infrastructure_losses
    return PodRequest(
        installation=settings.installation,
        team=stage.team,
        pipeline=stage.pipeline,
        stage=stage.stage,
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=find_map_index(ti),
        try_number=ti.try_number,
        max_tries=ti.max_tries,
        attempt=stage.attempt,
        task_instance=str(ti.id),
        arguments=("fused",) if shared else (stage.stage, "--pointer", TERMINATION_LOG),
        environ={
            "AIRLOOM_ARTIFACTS_URI": settings.artifacts_uri,
            "AIRLOOM_STORE_SECONDS": f"{settings.store_seconds:g}",
            "AIRLOOM_TRACKING_URI": settings.tracking_uri,
            "AIRLOOM_GATEWAY_URL": settings.gateway_url,
            **({} if shared else stage.build_environ()),
            CONTEXT_VARIABLE: document.to_json().decode(),
        },
        task_ids=list_task_ids(ti.task_id, task.stages),
        launch=launch.number,
        memory=launch.memory,
        capacity="on-demand" if last and profile.capacity == "spot" else None,
    )


def find_map_index(task_instance: Any) -> int:
    """Of a mapped task; -1: it is none."""
    return -1 if task_instance.map_index is None else int(task_instance.map_index)


def _build_steps(task: StageTask, settings: Settings, context: Context) -> tuple[StageStep, ...]:
    """What the stages after the first are told. Each is taken to be in its first try."""
    earlier, run_id = [*task.earlier], find_run_id(task.pipeline, context)
    steps = []
    task_ids = list_task_ids(context["ti"].task_id, task.stages)
    for (before, stage), task_id in zip(itertools.pairwise(task.stages), task_ids[1:], strict=True):
        earlier.append(before)
        inputs = {name: published_result_uri(task.pipeline, name, settings, run_id) for name in earlier}
        task_instance: Any = context["ti"]
        parent = find_lineage_parent(task_instance.model_copy(update={"task_id": task_id, "try_number": 1}))
        steps.append(StageStep(stage=stage, inputs=inputs, lineage_parent=parent))
    return tuple(steps)
