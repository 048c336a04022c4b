"""Two thousand stage pods at once on make-believe nodes (kwok): what waiting for them takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from tests.bench.figures import Figure
from tests.cluster.installation import NAMESPACE, ROOT, prepare_cluster
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import run
from tests.cluster.local.servers import built_kwok

_PODS = 2000
_NODES = 20
_STAGES = Path(__file__).with_name("kwok_stages.yaml")


def measure_scale() -> Iterator[Figure]:
    """One event loop, as a triggerer has, and the API server's count of its requests."""
    cluster = LocalCluster(ROOT / "build" / "bench-cluster")
    cluster.down()
    try:
        cluster.up(nodes=1)
        kubeconfig = prepare_cluster(cluster)
        _start_nodes(cluster)
        before = cluster.count_requests()
        program = Path(__file__).with_name("waiting_program.py")
        python = ROOT / ".venv" / "airflow" / "bin" / "python"
        environ = {**os.environ, "AIRLOOM_HOME": str(ROOT / "build")}
        told = json.loads(run(python, program, kubeconfig, NAMESPACE, str(_PODS), env=environ).splitlines()[-1])
        requests = cluster.count_requests() - before
    finally:
        cluster.down()
    ended = told["ends"].get("exited 0 answer", 0)
    if told["ends"] != {"exited 0 answer": _PODS}:
        print(f"the pods ended as: {told['ends']}")
    yield Figure("pods of 2,000 that were lost sight of", _PODS - ended, "", "none", 1, 0)
    yield Figure("memory of a waiting triggerer, a pod", told["memory_bytes"] / _PODS / 1e3, "kB", "limit", 250, 1)
    yield Figure("event loop's lag, 99 of 100", told["lag_p99"], "s", "limit", 1, 1)
    yield Figure("event loop's lag, worst", told["lag_max"], "s", "limit", 5, 1)
    yield Figure("requests a pod, from create to end", requests / _PODS, "", "limit", 10, 1)
    yield Figure("2,000 pods of 41 s, in all", told["seconds"], "s", "limit", 300, 1)


def _start_nodes(cluster: LocalCluster) -> None:
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
            "status": {"allocatable": capacity, "capacity": capacity, "phase": "Running"},
        }
        for number in range(_NODES)
    ]
    cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(nodes))
    cluster.processes.start(
        "kwok",
        [built_kwok(), f"--kubeconfig={cluster.kubeconfig}", f"--config={_STAGES}", "--manage-all-nodes=false",
         "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--node-lease-duration-seconds=40"],
        {"KUBE_FEATURE_WatchListClient": "false"},  # Debian's etcd is too old for it
    )  # fmt: skip
    names = {f"kwok-{number}" for number in range(_NODES)}
    cluster.wait(lambda: names <= {name for name, ready in cluster.ready_nodes().items() if ready}, "kwok's nodes", 60)
