"""The cluster that these tests run on: the one that `AIRLOOM_TEST_KUBECONFIG` names, or one of our own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.cluster.bucket import Bucket, Gate, start_minio
from tests.cluster.cluster import Cluster
from tests.cluster.installation import FUSED, NAMESPACE, SMALL, Installation, Run, run_installation
from tests.cluster.local.cluster import LocalCluster, run_cluster
from tests.cluster.local.programs import run
from tests.images.builder import build_image, image_reference

GIVEN = "AIRLOOM_TEST_KUBECONFIG"


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[LocalCluster]:
    """A cluster of our own, for tests that break its nodes or look below them."""
    if os.environ.get(GIVEN):
        pytest.skip(f"needs a cluster whose parts it may break; {GIVEN} names another's")
    with run_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def bucket_beside(local_cluster: LocalCluster) -> Bucket:
    """MinIO beside our own cluster."""
    return start_minio(local_cluster, {"AWS_ACCESS_KEY_ID": "airloom", "AWS_SECRET_ACCESS_KEY": "of the tests"})


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


def _require_variable(name: str) -> str:
    if not os.environ.get(name):
        pytest.fail(f"{GIVEN} is set, and {name} is not: the tests want a bucket and an image that its pods reach")
    return os.environ[name]


@dataclass(frozen=True)
class Place:
    """Where the installation's pods run.

    Attributes:
        image: docker/stage-trivial's, as the nodes find it.
    """

    cluster: Cluster
    bucket: Bucket
    image: str


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Somebody's cluster, image and S3, by AIRLOOM_TEST_KUBECONFIG, _IMAGE, _S3, _BUCKET; else all our own."""
    if given := os.environ.get(GIVEN):
        cluster = Cluster(tmp_path_factory.mktemp("given"))
        cluster.kubeconfig.touch(mode=0o600)
        flat = run("kubectl", f"--kubeconfig={given}", "config", "view", "--raw", "--flatten", "-o", "json")
        cluster.kubeconfig.write_text(flat)
        keys = {name: _require_variable(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        bucket = Bucket(_require_variable("AIRLOOM_TEST_S3"), keys, os.environ.get("AIRLOOM_TEST_BUCKET", "airloom"))
        yield Place(cluster, bucket, _require_variable("AIRLOOM_TEST_IMAGE"))
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        return
    local = request.getfixturevalue("local_cluster")
    local.load_image(build_image("stage-trivial"))
    yield Place(local, request.getfixturevalue("bucket_beside"), image_reference("stage-trivial"))


@pytest.fixture(scope="session")
def installation(place: Place, empty_registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
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
    folder = tmp_path_factory.mktemp("installation")
    with run_installation(place.cluster, place.image, place.bucket, folder, profiles, pipelines) as made:
        yield made


@pytest.fixture
def gate(installation: Installation) -> Iterator[Gate]:
    """A stage that behaves as `wait` ends once it is open."""
    made = installation.bucket.build_gate()
    yield made
    made.open()


@pytest.fixture
def waiting(installation: Installation, gate: Gate) -> Callable[..., Run]:
    """Starts a run whose first stage waits at the gate, and waits until it runs."""

    def start(pipeline: str = "small") -> Run:
        run = installation.start(pipeline, behaviour={"ingest": "wait"}, gate_file=gate.uri)
        run.pod("ingest")
        run.wait_for_task("ingest", "deferred")
        return run

    return start
