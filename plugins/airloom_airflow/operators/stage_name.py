"""Which stage a task runs, and which tasks run the other stages of a pod. The stage operators call it.

In a pipeline's own DAGs a task is called as its stage is. In a DAG of somebody's own it may lie in task groups, whose
names Airflow puts before its id, or have an id of its own.
"""

from __future__ import annotations

from airloom.errors import ConfigError
from airloom.spec.plan import STAGE_NAMES


def find_stage(stage: str | None, task_id: str | None) -> str:
    """The stage that an operator was given, or else the last part of its task's id.

    Errors:
        ConfigError: there is no such stage.
    """
    name = stage or (task_id or "").rpartition(".")[2]
    if name not in STAGE_NAMES:
        raise ConfigError(
            f"the task {task_id!r} is to run the stage {name!r}, and there is none of that name; there are "
            f"{', '.join(STAGE_NAMES)}. A task with an id of its own is given its stage: stage='ingest'."
        )
    return name


def require_shared_prefix(stage: str, task_id: str, group: tuple[str, ...]) -> None:
    """Stages that share a pod know each other's tasks by their ids.

    Errors:
        ConfigError: the task has an id of its own.
    """
    if len(group) > 1 and task_id.rpartition(".")[2] != stage:
        raise ConfigError(
            f"the task {task_id!r} shares a pod with the stages {', '.join(group)}, whose tasks are found by the names "
            "of their stages. Call it as its stage is (task groups may enclose it), or leave out `group`."
        )


def list_task_ids(task_id: str, stages: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks whose stages share a pod: the one given, which is the first stage's, and those in its task group."""
    prefix = task_id.removesuffix(stages[0])
    return (task_id, *(prefix + stage for stage in stages[1:]))
