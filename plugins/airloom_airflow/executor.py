"""`core.executor = airloom_airflow.executor.LocalExecutor`: Airflow's LocalExecutor, made for tasks that defer shortly.

Airflow 3.3's forgets a task as soon as it has handed it to a worker. A task that defers, and is brought back before the
scheduler has seen its first worker end, then counts as killed from outside, and fails. And each worker is held for up
to `workers.min_heartbeat_interval` after its task, where it looked for its end a moment too early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from airflow.executors import local_executor
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.execution_time import supervisor
from airflow.utils.state import TaskInstanceState

_LOOK_AGAIN_SECONDS = 0.02
_service_subprocess = supervisor.ActivitySubprocess._service_subprocess


class LocalExecutor(local_executor.LocalExecutor):
    """Knows each task from its start until as many of its workers have ended as were started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._workers_of: Counter[Any] = Counter()

    def start(self) -> None:
        """Workers are forked from this process, and do as it says."""
        supervisor.ActivitySubprocess._service_subprocess = _look_again_soon  # type: ignore[assignment,method-assign]
        super().start()

    def has_task(self, task_instance: TaskInstance) -> bool:
        """Whether it waits for a worker, or has one."""
        return super().has_task(task_instance) or self._workers_of[task_instance.key] > 0

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """A worker has told of a task."""
        if state in (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED):
            self._workers_of[key] -= 1
            self._workers_of += Counter()  # without those that have none
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._workers_of.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]


def _look_again_soon(process: Any, max_wait_time: float, *args: Any, **kwargs: Any) -> Any:
    """A process that has closed all its sockets is about to end, and nothing else will tell of it."""
    wait = max_wait_time if process._open_sockets else min(max_wait_time, _LOOK_AGAIN_SECONDS)
    return _service_subprocess(process, wait, *args, **kwargs)
