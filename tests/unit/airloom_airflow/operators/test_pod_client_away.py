"""Pods are asked for again while the API server is away, and touched by their uid alone."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api, V1Container, V1ObjectMeta, V1Pod, V1PodSpec
from tests.fakes.kubernetes_api import KubernetesApi, stamp
from tests.unit.airloom_airflow.triggers.pods import ended, put_pod

from airloom.errors import ConfigError, UnavailableError
from airloom.protocol.section import Section, end_line
from airloom.spec.cluster import Connection
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.triggers.pod_log import LogPosition
from airloom_airflow.triggers.pod_watch import PodPlace

CALLS: dict[str, Callable[[PodClient, PodPlace], Any]] = {
    "read": lambda client, place: client.read(place),
    "read_model": lambda client, place: client.read_model(place),
    "list": lambda client, place: client.list("ops", ""),
    "create": lambda client, place: client.create(build_pod("another")),
    "delete": lambda client, place: client.delete(place) or True,
    "mark": lambda client, place: client.mark(place, {"a": "b"}) or True,
    "hold": lambda client, place: client.hold(place, {"a": "b"}) or True,
    "read_log": lambda client, place: read_log(client, place),
}


def read_log(client: PodClient, place: PodPlace) -> list[str]:
    lines: list[str] = []

    def begin() -> LogPosition:
        lines.clear()
        return LogPosition(lambda line, when: lines.append(line), Section(place.uid, "train", shared=False))

    client.read_log(place, begin)
    return lines


def connect(url: str, away_seconds: float = 5.0) -> PodClient:
    api = CoreV1Api(ApiClient(Configuration(host=url)))
    api.api_client.configuration.retries = False
    return PodClient(lambda: api, Connection(), logging.getLogger("test"), away_seconds)


def build_pod(name: str, task_instance: str = "1") -> V1Pod:
    labels = {"airloom.io/task-instance": task_instance}
    spec = V1PodSpec(containers=[V1Container(name="stage")])
    return V1Pod(metadata=V1ObjectMeta(name=name, namespace="ops", labels=labels), spec=spec)


def find_place(pod: dict[str, Any]) -> PodPlace:
    return PodPlace(Connection(), "ops", pod["metadata"]["name"], pod["metadata"]["uid"])


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
@pytest.mark.parametrize("call", CALLS)
def test_an_api_server_that_is_away_for_a_moment_is_asked_again(api: KubernetesApi, call: str, status: int) -> None:
    pod = put_pod(api, status=ended())
    api.write_log("train-1", ["2026-01-01T00:00:00Z a line"], end=True)
    api.fail(status, 2)
    assert CALLS[call](connect(api.url), find_place(pod))
    assert len(api.requests) == 3


@pytest.mark.parametrize("call", CALLS)
def test_a_gateways_page_in_place_of_an_answer_is_asked_past(api: KubernetesApi, call: str) -> None:
    pod = put_pod(api, status=ended())
    api.write_log("train-1", ["2026-01-01T00:00:00Z a line"], end=True)
    api.interpose(2)
    assert CALLS[call](connect(api.url), find_place(pod))
    assert len(api.requests) == 3


@pytest.mark.parametrize("call", ["read", "read_model", "list", "create", "hold", "read_log"])
def test_one_that_stays_away_is_given_up_by_a_limit(api: KubernetesApi, call: str) -> None:
    pod = put_pod(api)
    api.fail(503, 1000)
    with pytest.raises(UnavailableError, match=r"was away for 0\.1 s"):
        CALLS[call](connect(api.url, 0.1), find_place(pod))


@pytest.mark.parametrize("call", ["delete", "mark"])
def test_what_cannot_be_deleted_or_marked_is_logged(api: KubernetesApi, call: str, caplog: Any) -> None:
    pod = put_pod(api)
    api.fail(503, 1000)
    CALLS[call](connect(api.url, 0.1), find_place(pod))
    assert "was away for 0.1 s" in caplog.text


@pytest.mark.parametrize("call", ["read", "list", "create", "hold"])
def test_what_is_forbidden_fails_at_once(api: KubernetesApi, call: str) -> None:
    pod = put_pod(api)
    api.fail(403, 1000)
    with pytest.raises(ConfigError):
        CALLS[call](connect(api.url), find_place(pod))


@pytest.mark.parametrize("call", ["delete", "mark", "hold"])
def test_another_pod_of_the_same_name_is_not_touched(api: KubernetesApi, call: str) -> None:
    place = find_place(put_pod(api))
    api.remove("train-1")
    other = put_pod(api)
    CALLS[call](connect(api.url), place)
    assert api.find("train-1") == other
    assert connect(api.url).read(place) is None


@pytest.mark.parametrize("call", ["read", "read_log"])
def test_an_answer_that_breaks_off_is_asked_for_again(call: str) -> None:
    body = stamp(json.dumps({"metadata": {"uid": "u"}})).encode() if call == "read_log" else b'{"metadata":{"uid":"u"}}'
    with serve_broken_once(body) as url:
        assert CALLS[call](connect(url), PodPlace(Connection(), "ops", "train-1", "u"))


@contextmanager
def serve_broken_once(body: bytes) -> Iterator[str]:
    """A server whose first answer's connection ends in the middle of its body."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if len(asked) > 1 else body[:5])

        def log_message(self, *words: Any) -> None:
            """Nothing: the tests' output is not its place."""

    with serve(Handler) as url:
        yield url


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_log_is_read_in_pieces_and_no_further_than_to_the_sections_end() -> None:
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            lines = [stamp("a line"), stamp(end_line("u", "train", 0, "{}")), stamp("of another stage")]
            self.wfile.write("".join(f"{line}\n" for line in lines).encode())
            with contextlib.suppress(OSError):  # whoever reads has enough
                for _ in range(2_000):
                    sent.append(self.wfile.write(b"x" * 2**17))

        def log_message(self, *words: Any) -> None:
            """Nothing: the tests' output is not its place."""

    position = LogPosition(lambda line, when: None, Section("u", "train", shared=False))
    with serve(Handler) as url:
        assert connect(url).read_log(PodPlace(Connection(), "ops", "train-1", "u"), lambda: position) is position
    assert (position.is_over, position.accepted) == (True, 2)
    assert sum(sent) < 100 * 2**20


FORBIDDEN = 'pods is forbidden: User "airflow" cannot list resource "pods" in API group "" in the namespace "ops"'


def test_an_api_server_that_has_just_started_and_knows_no_rights_is_asked_again() -> None:
    with KubernetesApi() as api:
        api.fail(403, 3, message=FORBIDDEN)
        assert connect(api.url).list("ops", "") == []


def test_rights_that_stay_lacking_are_a_mistake_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airloom_airflow.operators.pod_client._UNREADY_SECONDS", 1.0)
    with KubernetesApi() as api:
        api.fail(403, 1000, message=FORBIDDEN)
        with pytest.raises(ConfigError, match="cannot be listed: Forbidden"):
            connect(api.url).list("ops", "")


def test_what_a_policy_refuses_is_refused_at_once() -> None:
    with KubernetesApi() as api:
        api.fail(403, message='pods "train" is forbidden: violates PodSecurity "restricted:latest"')
        with pytest.raises(ConfigError, match="violates PodSecurity"):
            connect(api.url).create(build_pod("train"))
