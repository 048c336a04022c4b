"""What became of a stage in its pod: by its own word in the pod's log, and by Kubernetes'. `stage_pod` calls it.

What that means for the task is `pod_verdict`'s. Nothing is deleted or marked here.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from airloom.errors import AirloomError, UnavailableError
from airloom.protocol.section import Section
from airloom.spec.cluster import Limits
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.operators.stage_result import UnreadResultError
from airloom_airflow.pods.state import PodState, read_state
from airloom_airflow.triggers.pod_log import LogPosition, Write
from airloom_airflow.triggers.pod_watch import PodPlace

_HELD_BYTES = 1 << 20
"""Of a section's lines, in memory; the rest waits on disk."""
_CONFIRM_SECONDS = 60.0
"""How long a stage that told its end may take to end."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PodAnswer:
    """The answer of one stage in one pod.

    Attributes:
        pods: of the pod's cluster.
        shared: other stages write into the same log.
    """

    pods: PodClient
    place: PodPlace
    stage: str
    shared: bool

    def read_section(self, write: Write) -> PodState | None:
        """The end of the stage by its own word in the pod's log; None where it has not come.

        Args:
            write: gets the stage's lines, if its end has come, and only then.

        Errors: as `PodClient.read_log`'s.
        """
        with tempfile.SpooledTemporaryFile(_HELD_BYTES, "w+", encoding="utf-8", newline="\n") as held:

            def hold(text: str, when: datetime) -> None:
                held.write(json.dumps([text, when.isoformat()]) + "\n")

            def begin() -> LogPosition:
                held.seek(0)
                held.truncate()
                return LogPosition(hold, Section(self.place.uid, self.stage, self.shared))

            position = self.pods.read_log(self.place, begin)
            if position is None or position.section.status is None:
                return None
            held.seek(0)
            for line in held:
                text, when = json.loads(line)
                write(text, datetime.fromisoformat(when))
            section = position.section
            return PodState("ended", "", True, "exited", section.status, section.pointer, by_stage=True)

    def find_failure(self, limits: Limits) -> PodState | None:
        """How an earlier try's pod has ended, where that was no success: that end was that try's, whose failure it was,
        and no later try may take it for its own. None: the pod is at work, or has the stage's success.

        Errors: as `PodClient.read`'s and `read_log`'s.
        """
        state = self.read_section(_drop)
        if state is None:
            state = read_state(self.pods.read(self.place), datetime.now(UTC), limits)
            if state.ending == "exited" and self.shared:
                return state  # without having come to the stage's end
        return None if state.ending is None or (state.ending == "exited" and state.exit_code == 0) else state

    def confirm(self, state: PodState, limits: Limits, write: Write) -> PodState:
        """What counts of a pod that was seen to end, whatever its log was read to meanwhile.

        Of a stage that is alone in its pod, what Kubernetes says; of one among others there is only its own word.

        Args:
            write: gets the stage's lines, where they were not all read.

        Errors:
            UnreadResultError: the API server is away, and the stage's word is yet to be read.
        """
        if not self.shared:
            return self._ask_kubernetes(state, limits) if state.by_stage else state
        unread = state.started and not state.by_stage and state.ending not in ("lost", "overdue")
        return self._ask_stage(state, write) if unread else state

    def _ask_kubernetes(self, state: PodState, limits: Limits) -> PodState:
        """What Kubernetes says of a stage that told its own end: only its exit status and termination message count.

        The stage tells it about a second earlier, in which Airflow has brought the task back to a worker. One that is
        lost since, or that cannot be asked about, is taken at its word, which its result's digest checks.
        """
        deadline = time.monotonic() + _CONFIRM_SECONDS
        while time.monotonic() < deadline:
            try:
                confirmed = read_state(self.pods.read(self.place), datetime.now(UTC), limits)
            except AirloomError as error:
                log.warning("Kubernetes cannot be asked how the stage ended; it is taken at its word: %s", error)
                return state
            if confirmed.ending is not None:
                return state if confirmed.ending in ("lost", "overdue") else confirmed
            time.sleep(0.1)
        return state

    def _ask_stage(self, state: PodState, write: Write) -> PodState:
        """The stage's own word in the log of a pod that has ended, and whose log was not read to its end; `state` where
        it said none. A node that gives no log any more has lost the answer with it."""
        try:
            return self.read_section(write) or state
        except UnavailableError as unread:
            try:
                self.pods.read(self.place)
            except AirloomError:
                raise UnreadResultError(f"the stage's answer lies in its pod's log: {unread}") from unread
            return replace(state, ending="lost", message=f"the stage's answer is lost with its pod's log: {unread}")


def _drop(text: str, when: datetime) -> None:
    """A line that nobody wants."""
