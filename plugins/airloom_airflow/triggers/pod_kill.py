"""Whether a pod goes whose trigger was cancelled, and its going.

`stage_pod` asks here when Airflow cancels it. Airflow does so where a person ended or cleared the task, and just so
where another triggerer has taken the trigger over because this one had not been heard of for a while (SIGSTOP, a long
pause of its machine): then the pod is somebody else's, and alive. So Airflow and the pod are asked; who cannot be asked
is not guessed at: the pod stays, and the janitor takes it away once nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airloom.protocol.section import Section
from airloom.spec.cluster import Limits
from airloom_airflow.pods.pod import CONTAINER, KEPT_LABEL, STAGES_ANNOTATION
from airloom_airflow.pods.state import read_state
from airloom_airflow.triggers.cluster_client import ClusterClient, share_client
from airloom_airflow.triggers.pod_log import LONGEST_LINE, LogPosition, read_lines
from airloom_airflow.triggers.pod_watch import PodPlace

_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
_ANSWER_SECONDS = 8.0
"""How long the API server may take for an answer."""
_KILL_SECONDS = 25.0
"""How long one pod may take in all, from when it has its turn; alone, it is done when Airflow gives up, at 30."""
_AT_ONCE = 10
"""Pods that are asked about at once: a triggerer that was away is cancelled out of all its triggers in one go."""
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_GOING_ON = ("scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule")
"""To these an event brings a deferred task, and a clear too, by its next try: what the pod wrote tells them apart."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaitingTask:
    """The task whose trigger was cancelled."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int

    @property
    def key(self) -> str:
        """As Airflow names it among the states of a run."""
        return self.task_id if self.map_index < 0 else f"{self.task_id}_{self.map_index}"


async def end_pod(place: PodPlace, task: WaitingTask, stage: str, *, shared: bool) -> bool:
    """Delete the pod if nobody waits for it any more. True: it is deleted. It waits for its turn as long as it takes.

    Args:
        stage: that was waited for.
        shared: the pod runs other stages too.

    Errors:
        OSError, TimeoutError, aiohttp.ClientError: the API server refused, or is away.
    """
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE))
    async with share_client(place.connection) as client, turns:  # one client for those too that wait for their turn
        return await asyncio.wait_for(_end_pod(client, place, task, stage, shared=shared), _KILL_SECONDS)


async def _end_pod(client: ClusterClient, place: PodPlace, task: WaitingTask, stage: str, *, shared: bool) -> bool:
    pod = await _read_pod(client, place)
    if pod is None:
        return False
    stages = pod["metadata"].get("annotations", {}).get(STAGES_ANNOTATION, "").split() if shared else []
    try:
        states = await sync_to_async(read_states)(task, sorted({task.task_id, *stages}))
    except Exception as error:
        log.warning(
            "pod %s stays: Airflow cannot be asked what became of its task (%s). If nobody waits for it, the "
            "janitor takes it away.", place.name, error,
        )  # fmt: skip
        return False
    state = states.get(task.key, "removed")
    others = [states.get(name) for name in stages if name != task.task_id]
    if state in _GOING_ON:
        abandoned = not await _has_answered(client, place, stage, shared=shared)
    else:
        abandoned = is_abandoned(state, others)
    if not abandoned:
        log.info("pod %s stays: its task is %s, and goes on with it", place.name, state)
        return False
    await client.delete_pod(place.namespace, place.name, place.uid)
    log.info("pod %s is deleted: its task is %s, and nobody waits for it any more", place.name, state)
    return True


def is_abandoned(state: str | None, others: Collection[str | None]) -> bool:
    """Whether nobody waits for a living pod any more, of whose task no event has come.

    Args:
        state: of the task; None: it was cleared, and is to be started anew.
        others: the states of the other stages in the pod.
    """
    if state == "deferred":  # another triggerer has it
        return False
    if state in ("success", "skipped"):  # the others go on in it
        return all(other in _ENDED for other in others)
    return True


async def _read_pod(client: ClusterClient, place: PodPlace) -> dict[str, Any] | None:
    """The pod; None where there is nothing to end: it is gone, has ended, is being deleted, or is kept for a look."""
    async with client.get(_path(place), silence_seconds=_ANSWER_SECONDS) as answer:
        if answer.status == 404:
            return None
        body = await answer.read()
        if answer.status != 200:
            raise ConnectionError(f"pod {place.name} cannot be read: status {answer.status} {body[:300]!r}")
    pod: dict[str, Any] = json.loads(body)
    metadata = pod["metadata"]
    if metadata["uid"] != place.uid or metadata.get("deletionTimestamp") or KEPT_LABEL in metadata.get("labels", {}):
        return None
    return pod if read_state(pod, datetime.now(UTC), Limits()).ending in (None, "overdue") else None


async def _has_answered(client: ClusterClient, place: PodPlace, stage: str, *, shared: bool) -> bool:
    """The stage's end is in the pod's log: an event was made of it, and its task is about to read it.

    Errors:
        ConnectionError: the log cannot be read.
    """
    section = Section(place.uid, stage, shared)
    position = LogPosition(lambda line, when: None, section)
    query = {"container": CONTAINER, "timestamps": True}
    async with client.get(f"{_path(place)}/log", query, silence_seconds=_ANSWER_SECONDS) as answer:
        if answer.status == 200:
            async for line in read_lines(answer, LONGEST_LINE):
                position.accept(line)
                if position.is_over:
                    break
        elif answer.status not in (400, 404):  # of a container that has not begun, or is gone, there is none
            raise ConnectionError(f"the log of pod {place.name} cannot be read: status {answer.status}")
    return position.is_over


def read_states(task: WaitingTask, task_ids: list[str]) -> Mapping[str, str | None]:
    """Task → state, without what Airflow does not know; of a mapped one, by its `key`.

    Errors:
        Exception: Airflow cannot be asked.
    """
    from airloom_airflow.speedups.task_states import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task.dag_id,
        run_ids=[task.run_id],
        task_ids=task_ids,
        map_index=task.map_index if task.map_index >= 0 else None,
    )
    return dict(states.get(task.run_id, {}))


def _path(place: PodPlace) -> str:
    return f"/api/v1/namespaces/{place.namespace}/pods/{place.name}"
