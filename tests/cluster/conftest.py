"""The cluster that these tests run on: the one that `AIRLOOM_TEST_KUBECONFIG` names, or one of our own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.cluster.installation import FUSED, SMALL, Installation, run_installation
from tests.cluster.local.cluster import LocalCluster


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of our own, for tests that break its nodes or look below them."""
    if os.environ.get("AIRLOOM_TEST_KUBECONFIG"):
        pytest.skip("needs a cluster whose nodes it may break; AIRLOOM_TEST_KUBECONFIG names another's")
    cluster = LocalCluster(Path(__file__).parents[2] / "build" / "test-cluster")
    cluster.down()
    cluster.up(say=lambda text: print(text, flush=True))
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def empty_registry() -> Iterator[str]:
    """Address of an image registry that has no image."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v2/"
            body = b"{}" if known else b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def installation(
    local_cluster: LocalCluster, empty_registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An Airflow whose stages are pods of that cluster."""
    pipelines = {
        "small": SMALL.format(name="small", compute="cpu-small", retries=0),
        "patient": SMALL.format(name="patient", compute="cpu-small", retries=1),
        "fused": SMALL.format(name="fused", compute="fused", retries=1) + FUSED,
        "growing": SMALL.format(name="growing", compute="growing", retries=0),
        "absent": SMALL.format(name="absent", compute="absent", retries=2),
        "gpu": SMALL.format(name="gpu", compute="gpu", retries=0),
    }
    profiles = {
        "growing": {"memory": "32Mi", "memory_max": "256Mi"},
        "absent": {"image": f"{empty_registry}/no/such:1"},
        "gpu": {"gpu": {"count": 1}},
    }
    with run_installation(local_cluster, tmp_path_factory.mktemp("installation"), profiles, pipelines) as made:
        yield made
