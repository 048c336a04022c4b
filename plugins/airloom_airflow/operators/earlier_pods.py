"""Pods that were there before a try of a stage: which of them it may go on with. `stage_pod` calls it.

Either an earlier try left the pod when its worker or triggerer died, or a stage before started it for all of its group.
Nothing is deleted or marked here.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from typing import Any

from kubernetes.client import V1Pod  # type: ignore[import-untyped]

from airloom.protocol.section import Section
from airloom.spec.cluster import Limits
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.operators.pod_request import find_map_index
from airloom_airflow.pods.pod import (
    GROUP_LABEL,
    KEPT_LABEL,
    MAP_INDEX_ANNOTATION,
    MAX_TRIES_ANNOTATION,
    STAGES_ANNOTATION,
    build_selector,
    digest_group,
)
from airloom_airflow.pods.state import PodState, read_state
from airloom_airflow.triggers.pod_log import LogPosition, Write
from airloom_airflow.triggers.pod_watch import PodPlace

_HELD_BYTES = 1 << 20
"""Of a section's lines, in memory; the rest waits on disk."""


def find_pods(pods: PodClient, namespace: str, installation: str, ti: Any) -> list[V1Pod]:
    """Living and ended pods of the task's run that have its stage in them, oldest first; none that is kept for a look.

    Errors: as `PodClient.list`'s.
    """
    group = digest_group(installation, ti.dag_id, ti.run_id)
    selector = f"{build_selector(installation)},{GROUP_LABEL}={group},!{KEPT_LABEL}"
    found = [
        pod
        for pod in pods.list(namespace, selector)
        if pod.metadata.deletion_timestamp is None
        and ti.task_id in list_stages(pod)
        and pod.metadata.annotations[MAP_INDEX_ANNOTATION] == str(find_map_index(ti))
    ]
    return sorted(found, key=lambda pod: pod.metadata.creation_timestamp)


def list_stages(pod: V1Pod) -> tuple[str, ...]:
    """What runs in a pod, in its order."""
    return tuple(pod.metadata.annotations[STAGES_ANNOTATION].split())


def was_cleared(pod: V1Pod, ti: Any) -> bool:
    """Whether the task was cleared since one of its tries made the pod, or waited for it: its work is to be done again,
    whatever the pod has of it."""
    noted = pod.metadata.annotations.get(MAX_TRIES_ANNOTATION + ti.task_id)
    return noted is not None and noted != str(ti.max_tries)


def find_failure(pods: PodClient, place: PodPlace, stage: str, limits: Limits, *, shared: bool) -> PodState | None:
    """How an earlier try's pod has ended, where that was no success: that end was that try's, whose failure it was, and
    no later try may take it for its own. None: the pod is at work, or has the stage's success.

    Errors: as `PodClient.read`'s and `read_log`'s.
    """
    state = read_section(pods, place, stage, _drop, shared=shared)
    if state is None:
        state = read_state(pods.read(place), datetime.now(UTC), limits)
        if state.ending == "exited" and shared:
            return state  # without having come to the stage's end
    return None if state.ending is None or (state.ending == "exited" and state.exit_code == 0) else state


def read_section(pods: PodClient, place: PodPlace, stage: str, write: Write, *, shared: bool) -> PodState | None:
    """The end of a stage by its own word in the pod's log; None where it has not come.

    Args:
        write: gets the stage's lines, if its end has come, and only then.
        shared: other stages write into the same log.

    Errors: as `PodClient.read_log`'s.
    """
    with tempfile.SpooledTemporaryFile(_HELD_BYTES, "w+", encoding="utf-8", newline="\n") as held:

        def hold(text: str, when: datetime) -> None:
            held.write(json.dumps([text, when.isoformat()]) + "\n")

        def begin() -> LogPosition:
            held.seek(0)
            held.truncate()
            return LogPosition(hold, Section(place.uid, stage, shared))

        position = pods.read_log(place, begin)
        if position is None or position.section.status is None:
            return None
        held.seek(0)
        for line in held:
            text, when = json.loads(line)
            write(text, datetime.fromisoformat(when))
        section = position.section
        return PodState("ended", "", True, "exited", section.status, section.pointer, by_stage=True)


def _drop(text: str, when: datetime) -> None:
    """A line that nobody wants."""
