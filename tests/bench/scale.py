"""Two thousand stage pods at once on make-believe nodes (kwok): what waiting for them takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from tests.bench.figures import Figure
from tests.cluster.installation import NAMESPACE, ROOT, prepare_cluster
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import run
from tests.cluster.local.servers import built_kwok

PODS = 2000
LINES = tuple(f"line {number}" for number in range(20))
"""What each pod prints."""
_NODES = 20
_PORT = 10247
_STAGES = Path(__file__).with_name("kwok_stages.yaml")
_WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")


def measure_scale() -> Iterator[Figure]:
    """One event loop, as a triggerer has, and the API server's count of its requests."""
    cluster = LocalCluster(ROOT / "build" / "bench-cluster")
    cluster.down()
    try:
        cluster.up(nodes=1)
        kubeconfig = prepare_cluster(cluster)
        start_nodes(cluster)
        before = cluster.count_requests()
        program = Path(__file__).with_name("waiting_program.py")
        python = ROOT / ".venv" / "airflow" / "bin" / "python"
        environ = {**os.environ, "AIRLOOM_HOME": str(ROOT / "build")}
        with enough_watchers():
            told = json.loads(run(python, program, kubeconfig, NAMESPACE, str(PODS), env=environ).splitlines()[-1])
        requests = cluster.count_requests() - before
    finally:
        cluster.down()
    ended = told["ends"].get("exited 0 answer", 0)
    if told["ends"] != {"exited 0 answer": PODS}:
        print(f"the pods ended as: {told['ends']}")
    yield Figure("pods of 2,000 that were lost sight of", PODS - ended, "", "none", 1, 0)
    yield Figure("memory of a waiting triggerer, a pod", told["memory_bytes"] / PODS / 1e3, "kB", "limit", 250, 1)
    yield Figure("event loop's lag, 99 of 100", told["lag_p99"], "s", "limit", 1, 1)
    yield Figure("event loop's lag, worst", told["lag_max"], "s", "limit", 5, 1)
    yield Figure("requests a pod, from create to end", requests / PODS, "", "limit", 10, 1)
    yield Figure("2,000 pods of 41 s, in all", told["seconds"], "s", "limit", 300, 1)


@contextmanager
def enough_watchers() -> Iterator[None]:
    """Let one process follow the logs of all pods, as kwok does for its nodes: each log that it follows takes one of
    inotify's instances, of which Linux gives a user 128; beyond them kwok ends a followed log at once. A kubelet has
    the pods of one node. The former limit is put back."""
    former = _WATCHERS.read_text()
    _WATCHERS.write_text(str(max(int(former), 2 * PODS)))
    try:
        yield
    finally:
        _WATCHERS.write_text(former)


def start_nodes(cluster: LocalCluster, running_seconds: float = 40) -> None:
    """Nodes that kwok plays.

    Args:
        running_seconds: how long each pod runs.
    """
    log = cluster.state / "kwok.log"
    log.write_text("".join(f"2026-01-01T00:00:00.{number:09}Z stdout F {line}\n" for number, line in enumerate(LINES)))
    stages = cluster.state / "kwok.yaml"
    stages.write_text(_STAGES.read_text().replace("RUNNING", f"{running_seconds * 1e3:.0f}").replace("LOG", str(log)))
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "250"}
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": f"kwok-{number}",
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"type": "kwok", "kubernetes.io/hostname": f"kwok-{number}"},
            },
            "status": {
                "allocatable": capacity,
                "capacity": capacity,
                "phase": "Running",
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": _PORT}},
            },
        }
        for number in range(_NODES)
    ]
    cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(nodes))
    cluster.processes.start(
        "kwok",
        [built_kwok(), f"--kubeconfig={cluster.kubeconfig}", f"--config={stages}", "--manage-all-nodes=false",
         "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40",
         f"--server-address=127.0.0.1:{_PORT}", f"--node-port={_PORT}", "--node-ip=127.0.0.1",
         f"--tls-cert-file={cluster.state / 'pki' / 'apiserver.crt'}",
         f"--tls-private-key-file={cluster.state / 'pki' / 'apiserver.key'}"],
        {"KUBE_FEATURE_WatchListClient": "false"},  # Debian's etcd is too old for it
    )  # fmt: skip
    names = {f"kwok-{number}" for number in range(_NODES)}
    cluster.wait(lambda: names <= {name for name, ready in cluster.ready_nodes().items() if ready}, "kwok's nodes", 60)
