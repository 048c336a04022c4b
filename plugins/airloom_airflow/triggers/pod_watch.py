"""Watches the pods of a namespace once for all that wait for one, and follows a pod to its end.

`stage_pod` runs it in the triggerer, and the operator in a worker where it does not defer. One list and one watch serve
a whole process: a pod costs the API server no request while it runs, beyond the one that carries its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airloom.protocol.section import Section
from airloom.spec.cluster import Connection, Limits
from airloom_airflow.pods.connection import build_hook_arguments
from airloom_airflow.pods.pod import CONTAINER, SELECTOR
from airloom_airflow.pods.state import PodState, read_state

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

Write = Callable[[str, datetime], None]
"""Takes one line of a stage's log, and when it was written: later for each line, by a millisecond at least."""

_LONGEST_WAIT_SECONDS = 30.0
_WATCH_SECONDS = 300
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_LOG_END_SECONDS = 10.0
_CONNECTIONS = 4096
_RECENT_LINES = 2000
"""How many lines are known by heart where a log is taken up again."""

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
    drops those that it has.

    Args:
        stage: whose end is waited for.
        shared: the pod runs other stages too: pass on this one's lines only.

    Returns:
        The pod's last state, with its `ending`. Where the stage told its own end, that is all: Kubernetes may not know
        of it yet.
    """
    async with _share_watch(place.connection, place.namespace) as watch:
        reader: asyncio.Task[None] | None = None
        ended = asyncio.Event()
        told = ""
        section = Section(place.uid, stage, shared)
        try:
            async for pod in watch.updates(place.name):
                if pod is not None and pod["metadata"]["uid"] != place.uid:
                    pod = None
                state = read_state(pod, datetime.now(UTC), limits)
                if state.ending is None and told != (told := f"{state.phase} {state.message}".strip()):
                    log.info("pod %s: %s", place.name, told)
                if state.started and reader is None:
                    reader = asyncio.create_task(_read_log(watch, place, LogPosition(write, section), ended))
                if state.ending is not None:
                    ended.set()
                    if reader is not None:
                        await asyncio.wait([reader], timeout=_LOG_END_SECONDS if state.ending != "lost" else 2)
                if state.ending is not None and (not shared or section.status is None):
                    return state
                if section.status is not None:
                    return PodState("ended", "", True, "exited", section.status, section.pointer, by_stage=True)
            raise AssertionError("updates have no end")
        finally:
            if reader is not None:
                reader.cancel()


async def delete_pod(place: PodPlace, grace_seconds: int | None = None) -> None:
    """Delete exactly this pod; quiet where it is gone or another has its name."""
    from kubernetes_asyncio.client import ApiException, CoreV1Api, V1DeleteOptions, V1Preconditions

    async with _connect(place.connection) as client:
        body = V1DeleteOptions(preconditions=V1Preconditions(uid=place.uid), grace_period_seconds=grace_seconds)
        try:
            await CoreV1Api(client).delete_namespaced_pod(place.name, place.namespace, body=body)
        except ApiException as error:
            if error.status not in (404, 409):
                raise


@dataclass
class PodWatch:
    """The pods of a namespace, as they are now.

    What is kept of a pod is what `pods.state` reads. `api` is a CoreV1Api, asked for undecoded answers: the client's
    own models of a pod cost more than all else here.
    """

    api: Any
    namespace: str
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    async def updates(self, name: str) -> AsyncIterator[dict[str, Any] | None]:
        """The pod, or None where it is gone: at once, at each change, and every half minute."""
        changed = asyncio.Event()
        self.waiting.setdefault(name, set()).add(changed)
        try:
            if name not in self.pods:  # it may be younger than the last list
                await self._look_up(name)
            while True:
                changed.clear()
                yield self.pods.get(name)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LONGEST_WAIT_SECONDS)
        finally:
            self.waiting[name].discard(changed)
            if not self.waiting[name]:
                del self.waiting[name]

    async def run(self) -> None:
        """List and watch until cancelled; whatever fails is begun again."""
        pause, version = _FIRST_PAUSE_SECONDS, ""
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
                pause = _FIRST_PAUSE_SECONDS
            except _GoneError:
                version = ""
            except Exception as error:
                log.warning("the API server does not answer (%s: %s); asking again", type(error).__name__, error)
                version = ""
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look_up(self, name: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while name not in self.pods:
            try:
                answer = await self.api.read_namespaced_pod(name, self.namespace, _preload_content=False)
                body = await answer.read()
                if answer.status == 404:
                    return
                if answer.status == 200:
                    self.pods.setdefault(name, _prune(json.loads(body)))
                    return
                raise ConnectionError(f"status {answer.status}")
            except Exception as error:
                log.warning("pod %s cannot be read now (%s: %s); asking again", name, type(error).__name__, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _list(self) -> str:
        watched = set(self.waiting)
        answer = await self.api.list_namespaced_pod(
            self.namespace, label_selector=SELECTOR, _preload_content=False, _request_timeout=60
        )
        document = await _require(answer)
        younger = {name: pod for name, pod in self.pods.items() if name in self.waiting and name not in watched}
        self.pods = {**younger, **{pod["metadata"]["name"]: _prune(pod) for pod in document["items"]}}
        for name in watched:
            self.tell(name)
        return str(document["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Take in what changes; gives the version from which to watch on."""
        answer = await self.api.list_namespaced_pod(
            self.namespace,
            label_selector=SELECTOR,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=version,
            timeout_seconds=_WATCH_SECONDS,
            _preload_content=False,
            _request_timeout=_WATCH_SECONDS + 30,
        )
        with contextlib.closing(answer):
            if answer.status != 200:
                raise _GoneError if answer.status == 410 else ConnectionError(f"status {answer.status}")
            async for line in _lines(answer):
                event = json.loads(line)
                kind, thing = event["type"], event["object"]
                if kind == "ERROR":
                    raise _GoneError
                version = thing["metadata"]["resourceVersion"]
                name = thing["metadata"].get("name")
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    self.pods.pop(name, None)
                else:
                    self.pods[name] = _prune(thing)
                self.tell(name)
        return version

    def tell(self, name: str) -> None:
        """Wake all that wait for the pod."""
        for event in self.waiting.get(name, ()):
            event.set()


class _GoneError(Exception):
    """What was watched from is too old; list again."""


@dataclass
class _Shared:
    watch: PodWatch
    runner: asyncio.Task[None]
    close: contextlib.AsyncExitStack
    users: int = 0


_shared: dict[tuple[int, Connection, str], _Shared] = {}


@asynccontextmanager
async def _share_watch(connection: Connection, namespace: str) -> AsyncIterator[PodWatch]:
    """The process's one watch of the namespace, for as long as anybody uses it."""
    from kubernetes_asyncio.client import CoreV1Api

    key = (id(asyncio.get_running_loop()), connection, namespace)
    if key not in _shared:
        stack = contextlib.AsyncExitStack()
        client = await stack.enter_async_context(_connect(connection))
        if key in _shared:  # somebody was quicker
            await stack.aclose()
        else:
            watch = PodWatch(CoreV1Api(client), namespace)
            _shared[key] = _Shared(watch, asyncio.create_task(watch.run()), stack)
    shared = _shared[key]
    shared.users += 1
    try:
        yield shared.watch
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[key]
            shared.runner.cancel()
            await shared.close.aclose()


@asynccontextmanager
async def _connect(connection: Connection) -> AsyncIterator[ApiClient]:
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    configuration.connection_pool_maxsize = _CONNECTIONS
    if connection.conn_id is not None:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        hook = AsyncKubernetesHook(client_configuration=configuration, **build_hook_arguments(connection))
        async with hook.get_conn():
            pass  # fills the configuration; the hook's own client ends every request after a minute
    elif connection.kubeconfig is not None:
        await config.load_kube_config(
            config_file=connection.kubeconfig, context=connection.context, client_configuration=configuration
        )
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration) as api_client:
        yield api_client


async def _read_log(watch: PodWatch, place: PodPlace, position: LogPosition, ended: asyncio.Event) -> None:
    """Pass the container's log on, each line once and in order, across lost connections, until the pod has ended, or
    the section."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        was_ended = ended.is_set()
        try:
            answer = await watch.api.read_namespaced_pod_log(
                place.name,
                place.namespace,
                container=CONTAINER,
                follow=not was_ended,
                timestamps=True,
                _preload_content=False,
                **position.since(),
            )
            with contextlib.closing(answer):
                if answer.status == 200:
                    position.reopen()
                    pause = _FIRST_PAUSE_SECONDS
                    async for line in _lines(answer):
                        position.take(line)
                        if position.is_over:
                            watch.tell(place.name)
                            return
                    return  # an orderly end: the container has ended, and this was all of it
                if answer.status == 404:
                    return
        except Exception as error:
            log.info("the log of pod %s broke off (%s); reading on", place.name, type(error).__name__)
        if was_ended:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class LogPosition:
    """How far a log has been passed on, and which part of it is.

    Args:
        write: takes the lines.
        section: says which lines count.
    """

    def __init__(self, write: Write, section: Section) -> None:
        self._write = write
        self._section = section
        self._told = datetime.min.replace(tzinfo=UTC)
        self._recent: deque[bytes] = deque(maxlen=_RECENT_LINES)
        self._known: Counter[bytes] = Counter()
        self._floor = self._told

    @property
    def is_over(self) -> bool:
        """The section's end was read."""
        return self._section.status is not None

    def since(self) -> dict[str, int]:
        """What spares the reading of what is known already."""
        if not self._recent:
            return {}
        return {"since_seconds": int((datetime.now(UTC) - self._told).total_seconds()) + 60}

    def reopen(self) -> None:
        """The log is read again, from `since` on: what was taken is not taken again."""
        self._known = Counter(self._recent)
        self._floor = min((_split(line)[0] for line in self._recent), default=self._floor)

    def take(self, line: bytes) -> None:
        """The next line, as the API server gives it with timestamps."""
        when, text = _split(line)
        if self._known:
            if line in self._known:
                self._known[line] -= 1
                self._known += Counter()  # without those that are used up
                return
            if when < self._floor:
                return
        self._recent.append(line)
        self._told = max(when, self._told + timedelta(milliseconds=1))
        if self._section.takes(text):
            self._write(text, self._told)


def _split(line: bytes) -> tuple[datetime, str]:
    """When a line was written (its fraction has as many digits as it needs), and what it says."""
    stamp, _, text = line.decode(errors="replace").rstrip("\r\n").partition(" ")
    try:
        return datetime.fromisoformat(f"{stamp[:26].rstrip('Z')}+00:00"), text
    except ValueError:  # not of the container, such as a word of the kubelet
        return datetime.min.replace(tzinfo=UTC), f"{stamp} {text}"


async def _lines(answer: Any) -> AsyncIterator[bytes]:
    """Lines of any length."""
    pending: list[bytes] = []
    async for chunk in answer.content.iter_any():
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = b"".join((*pending, whole[0]))
            pending.clear()
            for line in whole:
                yield line
        if rest:
            pending.append(rest)
    if pending:
        yield b"".join(pending)


async def _require(answer: Any) -> Any:
    if answer.status != 200:
        raise ConnectionError(f"status {answer.status}: {(await answer.read())[:300]!r}")
    return json.loads(await answer.read())


def _prune(pod: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody reads: the stage's variables, managed fields."""
    metadata, spec = pod["metadata"], pod.get("spec", {})
    kept = ("name", "uid", "creationTimestamp", "deletionTimestamp")
    return {
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {
            **{key: spec[key] for key in ("nodeName", "schedulingGates") if key in spec},
            "containers": [{"resources": each.get("resources", {})} for each in spec.get("containers", ())],
        },
        "status": pod.get("status", {}),
    }
