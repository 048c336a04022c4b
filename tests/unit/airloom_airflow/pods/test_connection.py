"""A connection of the cluster file reaches the cluster that it names, by Airflow's own hooks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airflow.models import Connection as AirflowConnection
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

from airloom.spec.cluster import Connection
from airloom_airflow.pods.connection import build_hook_arguments
from airloom_airflow.triggers.cluster_client import share_client
from airloom_airflow.triggers.pod_watch import PodPlace
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place, load_place

SECRET = "a-token-of-a-cluster"


def write_kubeconfig(**servers: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(servers)),
        "clusters": [{"name": name, "cluster": {"server": server}} for name, server in servers.items()],
        "users": [{"name": "airflow", "user": {"token": SECRET}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "airflow"}} for name in servers],
    }


class ApiServer(ThreadingHTTPServer):
    """Answers as one that has no such pod, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_DELETE(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["conn_id", "kubeconfig"])
def connection(
    request: pytest.FixtureRequest, api_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Connection:
    """To the API server, where Airflow's default connection and the kubeconfig's current context lead elsewhere."""
    own = write_kubeconfig(own="https://own.example")
    default = AirflowConnection(
        conn_id="kubernetes_default", conn_type="kubernetes", extra={"kube_config": json.dumps(own)}
    )
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", default.as_json())
    far = write_kubeconfig(near="https://near.example", far=api_server.address)
    if request.param == "conn_id":
        extra = {"kube_config": json.dumps(far), "cluster_context": "far"}
        named = AirflowConnection(conn_id="far", conn_type="kubernetes", extra=extra)
        monkeypatch.setenv("AIRFLOW_CONN_FAR", named.as_json())
        return Connection(conn_id="far")
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(far))
    return Connection(kubeconfig=str(file), context="far")


def test_the_worker_reaches_the_cluster_that_is_named(connection: Connection, api_server: ApiServer) -> None:
    client = KubernetesHook(**build_hook_arguments(connection)).get_conn()
    assert client.configuration.host == api_server.address


def test_the_triggerer_reaches_the_cluster_that_is_named(connection: Connection, api_server: ApiServer) -> None:
    async def delete() -> None:
        async with share_client(connection) as client:
            await client.delete_pod("airloom-ops", "train-1", "uid")

    asyncio.run(delete())
    path = "/api/v1/namespaces/airloom-ops/pods/train-1"
    assert api_server.asked == [("DELETE", path, f"Bearer {SECRET}")]


def test_a_triggers_payload_holds_no_secret(connection: Connection) -> None:
    place = PodPlace(connection, "airloom-ops", "train-1", "uid")
    trigger = StagePodTrigger(place=dump_place(place), limits={}, launch={}, stage="train", shared=False)
    payload = json.dumps(trigger.serialize())
    assert SECRET not in payload
    assert load_place(json.loads(payload)[1]["place"]) == place
