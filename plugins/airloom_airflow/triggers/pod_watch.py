"""Watches the pods of a namespace once for all that wait for one, and follows a pod to its end.

`stage_pod` runs it in the triggerer, and the operator in a worker where it does not defer. One list and one watch serve
a whole process: a pod costs the API server no request while it runs, beyond the one that carries its log (`pod_log`).
What a pod's JSON means is `pods.state`'s; what its end means for the task is the operator's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp

from airloom.protocol.section import Section
from airloom.spec.cluster import Connection, Limits
from airloom_airflow import metrics
from airloom_airflow.pods.pod import SELECTOR, STAGES_ANNOTATION
from airloom_airflow.pods.state import Ending, PodState, find_ungated, is_gated, measure_phases, read_state, was_gated
from airloom_airflow.triggers.cluster_client import ClusterClient, share_client
from airloom_airflow.triggers.pod_log import LogFollower, LogPosition, Write, read_lines

_LONGEST_WAIT_SECONDS = 30.0
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 150.0
"""How long a watch may be silent; the API server sends a bookmark each minute."""
_LOOK_UP_SECONDS = 10.0
"""How long the answer about one pod may take; its limits are looked at when it has come or not."""
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_LASTING_SECONDS = 5.0
"""A watch that ended sooner is a failed one: the next waits longer to begin."""
_LOG_END_SECONDS = 30.0
_LOST_LOG_END_SECONDS = 2.0
"""How long an ended pod's log may say nothing before it is taken for whole; of a lost one's node little is expected."""
_COUNTS: dict[Ending, metrics.Count] = {
    "exited": "airloom.pod.exited",
    "lost": "airloom.pod.lost",
    "out-of-memory": "airloom.pod.out_of_memory",
    "out-of-disk": "airloom.pod.out_of_disk",
    "unprepared": "airloom.pod.refused",
    "refused": "airloom.pod.refused",
    "overdue": "airloom.pod.overdue",
}
_TIMES: dict[str, metrics.Time] = {
    "queueing": "airloom.pod.queueing",
    "scheduling": "airloom.pod.scheduling",
    "pulling": "airloom.pod.pulling",
    "running": "airloom.pod.running",
}

Pod = dict[str, Any]
"""The API server's JSON of a pod, without what nobody reads."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PodPlace:
    """Which pod: a name can come back, a uid cannot."""

    connection: Connection
    namespace: str
    name: str
    uid: str


async def follow_pod(place: PodPlace, limits: Limits, write: Write, stage: str, *, shared: bool) -> PodState:
    """Wait until the pod has ended, or has been too long in one phase; pass its log on meanwhile.

    The log is read from its beginning, whoever read it before: lines carry the container's own times, by which Airflow
    drops those that it has. Limits count on while the API server cannot be asked: from what was last seen of the pod,
    or from now on, as `scheduling`, where nothing was.

    Args:
        stage: whose end is waited for.
        shared: the pod runs other stages too: pass on this one's lines only.

    Returns:
        The pod's last state, with its `ending`. Where the stage wrote its own end, that is all: Kubernetes may not know
        of it yet.
    """
    async with _share_watch(place.connection, place.namespace) as watch:
        section = Section(place.uid, stage, shared)
        logged, pod, follower = "", None, None
        try:
            async for pod in watch.updates(place):
                state = read_state(pod, datetime.now(UTC), limits, watch.ungated.get(place.uid))
                if state.ending is None and logged != (logged := f"{state.phase} {state.message}".strip()):
                    log.info("pod %s: %s", place.name, logged)
                if state.started and follower is None:
                    follower = watch.follow_log(place, LogPosition(write, section))
                if state.ending is not None and follower is not None:
                    away = state.ending == "lost" or watch.trouble
                    await follower.finish(_LOST_LOG_END_SECONDS if away else _LOG_END_SECONDS)
                if section.status is not None and (state.ending is None or shared):
                    state = PodState("ended", "", True, "exited", section.status, section.pointer, by_stage=True)
                if state.ending is not None:
                    break
        finally:
            if follower is not None:
                follower.stop()
        if state.ending == "overdue" and watch.trouble:
            state = replace(state, message=f"{state.message} ({watch.trouble})")
        _measure(place, stage, pod, state, watch.ungated.get(place.uid))
        return state


@dataclass
class PodWatch:
    """The pods of a namespace, as they are now.

    Attributes:
        pods: by their names.
        ungated: pods' uids, and when their scheduling gates went.
        trouble: why the API server cannot be asked, in words; empty: it can.
    """

    client: ClusterClient
    namespace: str
    pods: dict[str, Pod] = field(default_factory=dict)
    ungated: dict[str, datetime] = field(default_factory=dict)
    waiting: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    trouble: str = ""

    async def updates(self, place: PodPlace) -> AsyncIterator[Pod | None]:
        """The pod, or None where it is gone: at once, at each change, and every half minute.

        What the watch does not have is asked for: it may be younger than the last list, and who has its name may be
        another. While the API server cannot be asked, the pod is as it was last, or as if it had been made now.
        """
        changed, pause = asyncio.Event(), _FIRST_PAUSE_SECONDS
        self.waiting.setdefault(place.name, set()).add(changed)
        began = datetime.now(UTC).isoformat()
        last: Pod = {"metadata": {"name": place.name, "uid": place.uid, "creationTimestamp": began}, "spec": {}}
        try:
            while True:
                changed.clear()
                try:
                    pod = self._find(place) or await self._look_up(place)
                    wait, pause = _LONGEST_WAIT_SECONDS, _FIRST_PAUSE_SECONDS
                except Exception as error:
                    self._report(error)
                    pod, wait, pause = last, pause, min(2 * pause, _LONGEST_PAUSE_SECONDS)
                yield pod
                last = pod or last
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), wait)
        finally:
            self.waiting[place.name].discard(changed)
            if not self.waiting[place.name]:
                del self.waiting[place.name]

    def follow_log(self, place: PodPlace, position: LogPosition) -> LogFollower:
        """Read a pod's log; where its section ends, those that wait for the pod are woken."""
        return LogFollower(self.client, (place.namespace, place.name), position, lambda: self.notify(place.name))

    def notify(self, name: str) -> None:
        """Wake all that wait for the pod."""
        for event in self.waiting.get(name, ()):
            event.set()

    async def run(self) -> None:
        """List and watch until cancelled; whatever ends is begun again, later each time where it does not last."""
        pause, version = _FIRST_PAUSE_SECONDS, ""
        while True:
            began = time.monotonic()
            try:
                version = await self._watch(version or await self._list())
            except _ExpiredError:
                self._count_reconnect("expired")
                version = ""
            except Exception as error:
                self._count_reconnect("refused" if isinstance(error, _RefusedError) else "unreachable")
                self._report(error)
                version = ""
            if time.monotonic() - began > _LASTING_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _find(self, place: PodPlace) -> Pod | None:
        pod = self.pods.get(place.name)
        return pod if pod is not None and pod["metadata"]["uid"] == place.uid else None

    async def _look_up(self, place: PodPlace) -> Pod | None:
        """The pod as the API server has it now; None: it has none of this uid."""
        async with self.client.get(f"{self._path}/{place.name}", silence_seconds=_LOOK_UP_SECONDS) as answer:
            if answer.status == 404:
                return None
            pod = await _load_json(answer)
        if pod["metadata"]["uid"] == place.uid and self._find(place) is None:
            self._accept(pod, self.pods)
        return self._find(place)

    async def _list(self) -> str:
        async with self.client.get(self._path, {"labelSelector": SELECTOR}) as answer:
            document = await _load_json(answer)
        self.trouble = ""
        former, self.pods = self.pods, {}
        for pod in document["items"]:
            self._accept(pod, former)
        uids = {pod["metadata"]["uid"] for pod in self.pods.values()}
        self.ungated = {uid: when for uid, when in self.ungated.items() if uid in uids}
        for name in self.waiting:
            self.notify(name)
        return str(document["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Accept what changes; gives the version from which to watch on."""
        query = {
            "labelSelector": SELECTOR,
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": version,
            "timeoutSeconds": _WATCH_SECONDS,
        }
        async with self.client.get(self._path, query, _SILENCE_SECONDS) as answer:
            if answer.status == 410:
                raise _ExpiredError
            _require(answer)
            try:
                async for line in read_lines(answer):
                    version = self._accept_event(json.loads(line))
            except TimeoutError:
                self._count_reconnect("silent")
        return version

    def _accept_event(self, event: dict[str, Any]) -> str:
        """Gives the version after it."""
        kind, pod = event["type"], event["object"]
        if kind == "ERROR":
            if pod.get("code") == 410:
                raise _ExpiredError
            raise ConnectionError(f"the watch broke off: {pod.get('message') or pod.get('reason')}")
        version = str(pod["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            return version
        if kind == "DELETED":
            self.pods.pop(pod["metadata"]["name"], None)
            self.ungated.pop(pod["metadata"]["uid"], None)
        else:
            self._accept(pod, self.pods)
        self.notify(pod["metadata"]["name"])
        return version

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def _accept(self, pod: Pod, former: Mapping[str, Pod]) -> None:
        """A pod is so now, and was in `former` before. Notes when its gates went: Kubernetes does not."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if was_gated(pod) and not is_gated(pod) and uid not in self.ungated:
            before = former.get(name)
            seen = before is not None and before["metadata"]["uid"] == uid and is_gated(before)
            when = None if seen else find_ungated(pod)
            if when is None and (seen or not pod.get("spec", {}).get("nodeName")):
                when = datetime.now(UTC)
            if when is not None:
                self.ungated[uid] = when
        self.pods[name] = _prune(pod)

    def _count_reconnect(self, reason: str) -> None:
        metrics.count("airloom.watch.reconnects", namespace=self.namespace, reason=reason)

    def _report(self, error: Exception) -> None:
        trouble = str(error)
        if not isinstance(error, _RefusedError):
            trouble = f"the API server does not answer: {type(error).__name__} {error}".strip()
        if trouble != self.trouble:
            log.warning("%s; asking again", trouble)
        self.trouble = trouble


class _ExpiredError(Exception):
    """What was watched from is too old; list again."""


class _RefusedError(Exception):
    """The API server does not know us, or forbids what we ask."""


@dataclass
class _Shared:
    watch: PodWatch
    runner: asyncio.Task[None]
    users: int = 0


_shared: dict[tuple[int, Connection, str], _Shared] = {}


@asynccontextmanager
async def _share_watch(connection: Connection, namespace: str) -> AsyncIterator[PodWatch]:
    """The process's one watch of the namespace, for as long as anybody uses it."""
    key = (id(asyncio.get_running_loop()), connection, namespace)
    async with share_client(connection) as client:
        if key not in _shared:
            watch = PodWatch(client, namespace)
            _shared[key] = _Shared(watch, asyncio.create_task(watch.run()))
        shared = _shared[key]
        shared.users += 1
        try:
            yield shared.watch
        finally:
            shared.users -= 1
            if not shared.users:
                del _shared[key]
                shared.runner.cancel()


def _measure(place: PodPlace, stage: str, pod: Pod | None, state: PodState, ungated: datetime | None) -> None:
    """Count the end of a stage, and of a pod that one stage or the first of several has; send how long all took."""
    assert state.ending is not None
    tags = {"namespace": place.namespace, "stage": stage}
    metrics.count(_COUNTS[state.ending], **tags)
    now = datetime.now(UTC)
    if state.since and state.ending == "exited":
        metrics.time("airloom.watch.lag", (now - datetime.fromisoformat(state.since)).total_seconds(), **tags)
    if pod is None:
        return
    stages = pod["metadata"].get("annotations", {}).get(STAGES_ANNOTATION, stage).split()
    if stages[0] == stage:
        for phase, seconds in measure_phases(pod, now, ungated).items():
            metrics.time(_TIMES[phase], seconds, **tags)


def _require(answer: aiohttp.ClientResponse) -> None:
    """
    Errors:
        _RefusedError: with what to do. ConnectionError: another status than 200.
    """
    if answer.status == 401:
        raise _RefusedError(
            "the API server refuses our credentials (401 Unauthorized); renew those of the cluster file's connection"
        )
    if answer.status == 403:
        raise _RefusedError("the API server forbids us to list and watch pods (403 Forbidden); give us the right")
    if answer.status != 200:
        raise ConnectionError(f"status {answer.status}")


async def _load_json(answer: aiohttp.ClientResponse) -> Any:
    _require(answer)
    return json.loads(await answer.read())


def _prune(pod: Pod) -> Pod:
    """Without what nobody reads: the stage's variables, managed fields."""
    metadata, spec = pod["metadata"], pod.get("spec", {})
    kept = ("name", "uid", "creationTimestamp", "deletionTimestamp")
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key == STAGES_ANNOTATION}
    return {
        "metadata": {**{key: metadata[key] for key in kept if key in metadata}, "annotations": annotations},
        "spec": {
            **{key: spec[key] for key in ("nodeName", "schedulingGates") if key in spec},
            "containers": [{"resources": each.get("resources", {})} for each in spec.get("containers", ())],
        },
        "status": pod.get("status", {}),
    }
