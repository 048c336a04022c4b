"""`core.executor = airloom_airflow.speedups.executor.LocalExecutor`: Airflow's own, made for tasks that defer shortly.

Works round three things:

- Airflow's LocalExecutor forgets a task as soon as it has handed it to a worker. A task that defers, and runs again
  before the scheduler has seen its first worker end, then counts as killed from outside, and fails. Upstream:
  https://github.com/apache/airflow/issues/72716 and https://github.com/apache/airflow/issues/71580, open; mended by
  https://github.com/apache/airflow/pull/71579, which is not in 3.4.0b2. That part can go with the version that has it.
- The task supervisor holds a worker for up to `workers.min_heartbeat_interval` after its task, where it looked for its
  end a moment too early: the sockets close first, and nothing tells of the end. Upstream: no issue was found
  (2026-11-25), and 3.4.0b2 does so still. That part can go when the supervisor waits for the process itself (a pidfd).
- Each task's process, which is forked from a worker, loads Airflow's reader of DAG files anew: a tenth of a second.
  Upstream: no issue was found (2026-11-25). That part can go when LocalExecutor loads it before it makes its workers.

Switched off (see `speedups.switch`), `LocalExecutor` is Airflow's own class.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.executors import local_executor
from airflow.sdk.execution_time import supervisor
from airflow.utils.state import TaskInstanceState

from airloom_airflow.speedups.switch import is_on

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

TESTED = ("3.3.2",)
"""Versions of Airflow: `tests/e2e/test_deferral.py`, and every test on the cluster."""
_LOOK_AGAIN_SECONDS = 0.02


class _ShortDeferralExecutor(local_executor.LocalExecutor):
    """Knows each task from its start until as many of its workers have ended as were started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._workers_of: Counter[Any] = Counter()

    def start(self) -> None:
        """Workers are forked from this process, and do as it says."""
        _shorten_last_wait()
        importlib.import_module("airflow.dag_processing.dagbag")
        super().start()

    def has_task(self, task_instance: TaskInstance) -> bool:
        """Whether it waits for a worker, or has one."""
        return super().has_task(task_instance) or self._workers_of[task_instance.key] > 0

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """A worker has reported a task's state."""
        if state in (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED):
            self._workers_of[key] -= 1
            self._workers_of += Counter()  # without those that have none
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._workers_of.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]


LocalExecutor: type[local_executor.LocalExecutor] = (
    _ShortDeferralExecutor if is_on("LocalExecutor", TESTED) else local_executor.LocalExecutor
)


def _shorten_last_wait() -> None:
    service_subprocess = supervisor.ActivitySubprocess._service_subprocess

    def look_again_soon(process: Any, max_wait_time: float, *args: Any, **kwargs: Any) -> Any:
        """A process that has closed all its sockets is about to end, and nothing else will tell of it."""
        wait = max_wait_time if process._open_sockets else min(max_wait_time, _LOOK_AGAIN_SECONDS)
        return service_subprocess(process, wait, *args, **kwargs)

    supervisor.ActivitySubprocess._service_subprocess = look_again_soon  # type: ignore[assignment,method-assign]
