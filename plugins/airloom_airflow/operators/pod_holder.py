"""How a try of a stage parts from its pod. `stage_pod` calls it.

A try that stalled (SIGSTOP, a store that is away) may come back when Airflow has given it up: a pod that a later try
goes on with is not its own any more. And Airflow may not have heard of a success that the task told it: its pod goes
once Airflow has it, for a later try finds the success there. Nothing hangs on the going itself: a later try takes no
failure for its own (`pod_answer`), and the janitor comes after.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airloom.errors import AirloomError
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.operators.pod_request import find_map_index
from airloom_airflow.operators.pod_verdict import is_kept
from airloom_airflow.pods.pod import HOLDER_ANNOTATION, KEPT_LABEL
from airloom_airflow.pods.state import PodState
from airloom_airflow.triggers.pod_kill import WaitingTask, read_states
from airloom_airflow.triggers.pod_watch import PodPlace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PodHolder:
    """A try of a task, and the pods that it holds.

    Attributes:
        pods: of the pods' cluster.
        stage: the task's.
        keep: failed pods that have ended are kept for a look.
    """

    pods: PodClient
    stage: str
    task_instance: Any
    keep: bool

    def holds(self, place: PodPlace) -> bool:
        """Whether no later try goes on with the pod; not known: False, and logged."""
        try:
            metadata = (self.pods.read(place) or {"metadata": {}})["metadata"]
        except AirloomError as error:
            log.warning("Pod %s stays for the janitor: whose it is cannot be read: %s", place.name, error)
            return False
        holder = metadata.get("annotations", {}).get(HOLDER_ANNOTATION + self.stage)
        return holder in (None, str(self.task_instance.id))

    def delete(self, place: PodPlace, grace_seconds: int | None = None) -> None:
        """Where it is this try's."""
        if self.holds(place):
            self.pods.delete(place, grace_seconds)

    def leave_failed(self, place: PodPlace, state: PodState) -> None:
        """Where it is this try's: as `clear_away`."""
        if self.holds(place):
            self.clear_away(place, state)

    def clear_away(self, place: PodPlace, state: PodState) -> None:
        """A failed pod, whichever try's: delete it, or keep it for a look."""
        if self.keep and is_kept(state):
            self.pods.mark(place, {KEPT_LABEL: "true"})
        else:
            self.pods.delete(place, grace_seconds=0)

    def is_heard(self) -> bool:
        """Whether Airflow has the task's success; not known: False, and logged."""
        ti = self.task_instance
        task = WaitingTask(ti.dag_id, ti.run_id, ti.task_id, find_map_index(ti))
        try:
            return read_states(task, [ti.task_id]).get(task.key) == "success"
        except Exception as error:
            log.warning("Airflow cannot be asked whether it has the task's success: %s", error)
            return False
