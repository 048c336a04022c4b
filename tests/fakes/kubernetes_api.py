"""A Kubernetes API server for tests, on loopback: pods, their watch and their logs, over real HTTP.

Unit tests of triggers and operators use it, with Kubernetes' own clients. It answers as the real one does where Airloom
asks (list, watch with bookmarks and 410, read, create, patch, delete with preconditions, logs with follow and
sinceTime, 401; Secrets that are made, and go with the pod that owns them), and can be made to fail: refuse tokens,
answer with an error, fall silent in the middle of a stream, or cut every connection. It schedules and
runs nothing: a test says what becomes of a pod. Not a mock of a client.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    token: str


@dataclass
class Fault:
    """Answers of a status in place of the right ones; 0: none, the connection is cut; 200: `message` as a page."""

    status: int
    count: int
    matches: Callable[[Request], bool]
    message: str


@dataclass
class PodLog:
    """What a pod's container has written, each line with Kubernetes' time stamp; `ended`: it writes no more."""

    lines: list[str] = field(default_factory=list)
    ended: bool = False


class KubernetesApi:
    """The server, in a thread of its own while the `with` block lasts.

    Attributes:
        tokens: bearer tokens that are accepted; None: every request is.
        requests: all that came, in their order.
        away: True: every connection is cut before an answer.
        silent: True: streams stay open and say nothing more; new ones open, and say nothing.
        watch_end: each new watch ends at once, with this as its ERROR; empty: without a word.
    """

    def __init__(self) -> None:
        self.tokens: set[str] | None = None
        self.requests: list[Request] = []
        self.away = False
        self.silent = False
        self.watch_end: Json | None = None
        self.url = ""
        self._pods: dict[tuple[str, str], Json] = {}
        self._logs: dict[tuple[str, str], PodLog] = {}
        self._secrets: dict[tuple[str, str], Json] = {}
        self._events: list[tuple[int, str, Json]] = []
        self._version = 1000
        self._oldest = 0
        self._era = 0
        self._faults: list[Fault] = []
        self._log_limits: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._transports: set[Any] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> KubernetesApi:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What a test does to the cluster

    def put(self, pod: Json, namespace: str = "ops") -> Json:
        """Make a pod, or replace it; what the API server adds is added. Returns it as it is now."""
        return self._call(lambda: self._put(copy.deepcopy(pod), namespace))

    def change(self, name: str, namespace: str = "ops", **parts: Any) -> Json:
        """Replace top-level parts (`status`, `spec`) of a pod."""
        return self._call(lambda: self._put({**copy.deepcopy(self._pods[namespace, name]), **parts}, namespace))

    def remove(self, name: str, namespace: str = "ops") -> None:
        """The pod is gone."""
        self._call(lambda: self._remove(namespace, name))

    def find(self, name: str, namespace: str = "ops") -> Json | None:
        """The pod, or None."""
        return self._call(lambda: copy.deepcopy(self._pods.get((namespace, name))))

    @property
    def names(self) -> list[str]:
        """Of all pods."""
        return self._call(lambda: sorted(name for _, name in self._pods))

    @property
    def secrets(self) -> dict[str, Json]:
        """All Secrets, by name; each as it was sent."""
        return self._call(lambda: {name: copy.deepcopy(secret) for (_, name), secret in self._secrets.items()})

    def write_log(self, name: str, lines: Iterable[str], namespace: str = "ops", *, end: bool = False) -> None:
        """The container writes lines, each with its time stamp before it; with `end` they are its last."""
        self._call(lambda: self._write_log(namespace, name, list(lines), end))

    def fail(
        self,
        status: int,
        count: int = 1,
        matches: Callable[[Request], bool] = lambda request: True,
        message: str = "as the test wants it",
    ) -> None:
        """Answer the next requests that match with a status and words."""
        self._call(lambda: self._faults.append(Fault(status, count, matches, message)))

    def cut_requests(self, count: int, matches: Callable[[Request], bool] = lambda request: True) -> None:
        """Cut the connections of the next requests that match, before an answer."""
        self.fail(0, count, matches)

    def interpose(self, count: int, matches: Callable[[Request], bool] = lambda request: True) -> None:
        """Answer the next requests that match with a page, as a gateway before the API server does: status 200."""
        self.fail(200, count, matches, "<html>be right back</html>")

    def expire(self) -> None:
        """Forget what was: a watch from an earlier version is answered with 410."""
        self._call(lambda: setattr(self, "_oldest", self._version))

    def cut(self) -> None:
        """Cut every connection, in the middle of whatever it carries."""
        self._call(lambda: [transport.abort() for transport in self._transports])

    def cut_logs_silently(self) -> None:
        """The log streams that are open now say nothing more, and stay open; new ones are whole."""
        self._call(lambda: setattr(self, "_era", self._era + 1))

    def cut_logs_after(self, *counts: int) -> None:
        """Cut the connections of the next logs, each after it has given so many lines."""
        self._call(lambda: self._log_limits.extend(counts))

    def count(self, matches: Callable[[Request], bool]) -> int:
        """How many such requests came."""
        return sum(map(matches, list(self.requests)))

    def write_kubeconfig(self, path: Path, user: Json | None = None) -> Path:
        """A kubeconfig of this server.

        Args:
            user: the entry of `users`, such as `{"exec": {…}}` or `{"token": "x"}`.
        """
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": user or {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    # The server

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._guard])
        pods = "/api/v1/namespaces/{namespace}/pods"
        app.router.add_get(pods, self._list)
        app.router.add_post(pods, self._create)
        app.router.add_get(f"{pods}/{{name}}", self._read)
        app.router.add_patch(f"{pods}/{{name}}", self._patch)
        app.router.add_delete(f"{pods}/{{name}}", self._delete)
        app.router.add_get(f"{pods}/{{name}}/log", self._log)
        app.router.add_post("/api/v1/namespaces/{namespace}/secrets", self._create_secret)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, shutdown_timeout=0.1)
        await site.start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def _stop(self) -> None:
        for transport in self._transports:
            transport.abort()
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, http: web.Request, handler: Any) -> web.StreamResponse:
        request = Request(
            http.method, http.path, dict(http.query), http.headers.get("Authorization", "").removeprefix("Bearer ")
        )
        self.requests.append(request)
        assert http.transport is not None
        self._transports.add(http.transport)
        try:
            if self.away:
                http.transport.abort()
            if self.tokens is not None and request.token not in self.tokens:
                return _status(401, "Unauthorized", "Unauthorized")
            for fault in self._faults:
                if fault.count > 0 and fault.matches(request):
                    fault.count -= 1
                    if not fault.status:
                        http.transport.abort()
                    if fault.status == 200:
                        return web.Response(text=fault.message, content_type="text/html")
                    return _status(fault.status, "Fault", fault.message)
            answer: web.StreamResponse = await handler(http)
            return answer
        finally:
            self._transports.discard(http.transport)

    async def _list(self, http: web.Request) -> web.StreamResponse:
        namespace, selector = http.match_info["namespace"], http.query.get("labelSelector", "")
        if http.query.get("watch") in ("true", "True"):
            return await self._watch(http, namespace, selector)
        items = [pod for (space, _), pod in self._pods.items() if space == namespace and _selects(selector, pod)]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})

    async def _watch(self, http: web.Request, namespace: str, selector: str) -> web.StreamResponse:
        version = int(http.query.get("resourceVersion") or self._version)
        deadline = self._loop.time() + float(http.query.get("timeoutSeconds") or 3600)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(http)
        end = {"kind": "Status", "code": 410, "reason": "Expired"} if version < self._oldest else self.watch_end
        if end is not None:
            if end:
                await answer.write(json.dumps({"type": "ERROR", "object": end}).encode() + b"\n")
            return answer
        while self._loop.time() < deadline:
            changed = self._changed
            for number, kind, pod in () if self.silent else [event for event in self._events if event[0] > version]:
                version = number
                if pod["metadata"]["namespace"] == namespace and _selects(selector, pod):
                    await answer.write(json.dumps({"type": kind, "object": pod}).encode() + b"\n")
            await _wait(changed, deadline - self._loop.time())
        bookmark = {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}
        await answer.write(json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")
        return answer

    async def _read(self, http: web.Request) -> web.StreamResponse:
        pod = self._pods.get((http.match_info["namespace"], http.match_info["name"]))
        return web.json_response(pod) if pod else _status(404, "NotFound", "pods not found")

    async def _create(self, http: web.Request) -> web.StreamResponse:
        pod, namespace = await http.json(), http.match_info["namespace"]
        if (namespace, pod["metadata"]["name"]) in self._pods:
            return _status(409, "AlreadyExists", f"pods {pod['metadata']['name']} already exists")
        return web.json_response(self._put(pod, namespace), status=201)

    async def _create_secret(self, http: web.Request) -> web.StreamResponse:
        secret = await http.json()
        key = http.match_info["namespace"], secret["metadata"]["name"]
        if key in self._secrets:
            return _status(409, "AlreadyExists", f"secrets {key[1]} already exists")
        self._secrets[key] = secret
        self._collect_garbage()
        return web.json_response(secret, status=201)

    def _collect_garbage(self) -> None:
        """Of each Secret whose owner is gone, or never was."""
        living = {pod["metadata"]["uid"] for pod in self._pods.values()}
        for key, secret in list(self._secrets.items()):
            if not any(owner["uid"] in living for owner in secret["metadata"].get("ownerReferences", ())):
                del self._secrets[key]

    async def _patch(self, http: web.Request) -> web.StreamResponse:
        key, patch = (http.match_info["namespace"], http.match_info["name"]), await http.json()
        if key not in self._pods:
            return _status(404, "NotFound", "pods not found")
        uid = patch.get("metadata", {}).get("uid")
        if uid not in (None, self._pods[key]["metadata"]["uid"]):
            return _status(409, "Conflict", "the UID in the precondition does not match")
        return web.json_response(self._put(_merge(self._pods[key], patch), key[0]))

    async def _delete(self, http: web.Request) -> web.StreamResponse:
        key = http.match_info["namespace"], http.match_info["name"]
        if key not in self._pods:
            return _status(404, "NotFound", "pods not found")
        body = await http.json() if http.can_read_body else {}
        uid = (body.get("preconditions") or {}).get("uid")
        if uid not in (None, self._pods[key]["metadata"]["uid"]):
            return _status(409, "Conflict", "the UID in the precondition does not match")
        return web.json_response(self._remove(*key))

    async def _log(self, http: web.Request) -> web.StreamResponse:
        key, query = (http.match_info["namespace"], http.match_info["name"]), http.query
        if key not in self._pods:
            return _status(404, "NotFound", "pods not found")
        if "sinceSeconds" in query and int(query["sinceSeconds"]) <= 0:
            return _status(422, "Invalid", "sinceSeconds: must be greater than 0")
        if key not in self._logs:
            return _status(400, "BadRequest", "container is waiting to start: ContainerCreating")
        since, at, era = _since(query), 0, self._era
        left = self._log_limits.pop(0) if self._log_limits else None
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(http)
        while True:
            changed, log = self._changed, self._logs.get(key, PodLog(ended=True))
            if not self.silent and era == self._era:
                new, at = log.lines[at:], len(log.lines)
                kept = [line for line in new if parse_stamp(line) >= since]
                if query.get("timestamps") not in ("true", "True"):
                    kept = [line.partition(" ")[2] for line in kept]
                if kept:
                    await answer.write("".join(f"{line}\n" for line in kept[:left]).encode())
                left = left if left is None else left - len(kept)
                if left is not None and left <= 0:
                    assert http.transport is not None
                    http.transport.close()  # in the middle of the answer
                if log.ended or query.get("follow") not in ("true", "True"):
                    return answer
            await _wait(changed, 3600)

    # Its state; touched in its own thread only

    def _put(self, pod: Json, namespace: str) -> Json:
        self._version += 1
        key = namespace, pod["metadata"]["name"]
        pod = copy.deepcopy(pod)
        pod["metadata"] = {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **pod["metadata"],
            "namespace": namespace,
            "resourceVersion": str(self._version),
        }
        pod.setdefault("status", {"phase": "Pending"})
        self._notify("MODIFIED" if key in self._pods else "ADDED", pod)
        self._pods[key] = pod
        return copy.deepcopy(pod)

    def _remove(self, namespace: str, name: str) -> Json:
        self._version += 1
        self._logs.pop((namespace, name), None)
        pod = self._pods.pop((namespace, name))
        self._collect_garbage()
        pod = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self._version)}}
        self._notify("DELETED", pod)
        return pod

    def _notify(self, kind: str, pod: Json) -> None:
        self._events.append((self._version, kind, copy.deepcopy(pod)))
        self._wake()

    def _write_log(self, namespace: str, name: str, lines: list[str], end: bool) -> None:
        log = self._logs.setdefault((namespace, name), PodLog())
        log.lines += lines
        log.ended = log.ended or end
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _call(self, action: Callable[[], Any]) -> Any:
        """Do it in the server's thread."""
        done: Future[Any] = Future()

        def act() -> None:
            try:
                done.set_result(action())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(act)
        return done.result(timeout=30)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)


def stamp(text: str, when: datetime | None = None) -> str:
    """A line as a log has it, written now or at a time."""
    moment = when or datetime.now(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{time.time_ns() % 1000:03d}Z {text}"


def parse_stamp(line: str) -> datetime:
    """When a line was written."""
    return datetime.fromisoformat(f"{line.partition(' ')[0][:26].rstrip('Z')}+00:00")


def _since(query: Any) -> datetime:
    if "sinceTime" in query:
        return datetime.fromisoformat(query["sinceTime"]).replace(microsecond=0)  # the real one counts whole seconds
    if "sinceSeconds" in query:
        return datetime.fromtimestamp(time.time() - int(query["sinceSeconds"]), UTC)
    return datetime.min.replace(tzinfo=UTC)


def _selects(selector: str, pod: Json) -> bool:
    labels = pod["metadata"].get("labels", {})
    for term in filter(None, selector.split(",")):
        name, sign, value = term.partition("=")
        if sign and labels.get(name) != value:
            return False
        if not sign and (name.lstrip("!") in labels) == name.startswith("!"):
            return False
    return True


def _merge(below: Json, above: Json) -> Json:
    """A strategic merge patch, as far as it is used here: of a list's members only the deletion, by their name."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        elif isinstance(value, list) and any("$patch" in each for each in value):
            gone = {each["name"] for each in value if each.get("$patch") == "delete"}
            merged[key] = [each for each in merged.get(key, ()) if each["name"] not in gone]
        else:
            merged[key] = value
    return merged


def _status(code: int, reason: str, message: str) -> web.Response:
    document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response({**document, "message": message}, status=code)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), max(0.0, seconds))
    except TimeoutError:
        return
