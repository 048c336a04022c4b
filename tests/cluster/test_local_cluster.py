"""The cluster of our own does what a cluster does, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.waiting import wait_until


@pytest.fixture
def run_pod(local_cluster: LocalCluster) -> Iterator[Callable[..., str]]:
    """Makes a pod of busybox that runs a command; gives its name."""
    made: list[str] = []

    def run_pod(command: str, **spec: Any) -> str:
        name = f"test-{len(made)}-{time.monotonic_ns()}"
        container = {
            "name": "main",
            "image": "localhost/busybox:1",
            "imagePullPolicy": "Never",
            "command": ["/bin/sh", "-c", command],
            **spec.pop("container", {}),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container], **spec},
        }
        local_cluster.kubectl("apply", "-f", "-", given=json.dumps(document))
        made.append(name)
        return name

    yield run_pod
    for name in made:
        local_cluster.kubectl("delete", "pod", name, "--now", "--wait=false", "--ignore-not-found")


def phase(cluster: LocalCluster, pod: str) -> str:
    return cluster.kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}")


def wait_for(cluster: LocalCluster, pod: str, wanted: str, seconds: float = 60) -> None:
    cluster.wait(lambda: phase(cluster, pod) == wanted, f"pod {pod} is {wanted}", seconds)


@pytest.mark.parametrize("number", [1, 2])
def test_a_pod_runs_on_each_node_and_finds_others_by_name(
    local_cluster: LocalCluster, run_pod: Callable[..., str], number: int
) -> None:
    pod = run_pod(
        "until nslookup kubernetes.default.svc.cluster.local; do sleep 0.2; done;"
        " echo to the log && echo the end > /dev/termination-log",
        nodeSelector={"kubernetes.io/hostname": f"node{number}"},
    )
    wait_for(local_cluster, pod, "Succeeded")
    log = local_cluster.kubectl("logs", pod)
    assert "10.96.0.1" in log
    assert log.endswith("to the log\n")
    message = "jsonpath={.status.containerStatuses[0].state.terminated.message}"
    assert local_cluster.kubectl("get", "pod", pod, "-o", message) == "the end\n"


def test_a_pod_that_takes_too_much_memory_is_told_by_name(
    local_cluster: LocalCluster, run_pod: Callable[..., str]
) -> None:
    pod = run_pod(
        "dd if=/dev/zero of=/dev/null bs=200M count=1", container={"resources": {"limits": {"memory": "32Mi"}}}
    )
    wait_for(local_cluster, pod, "Failed")
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    assert local_cluster.kubectl("get", "pod", pod, "-o", reason) == "OOMKilled"


def test_a_restricted_pod_runs(local_cluster: LocalCluster, run_pod: Callable[..., str]) -> None:
    security = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = run_pod("id; ! echo x > /file", container={"securityContext": security}, automountServiceAccountToken=False)
    wait_for(local_cluster, pod, "Succeeded")
    assert "uid=65532" in local_cluster.kubectl("logs", pod)


def test_a_pod_waits_for_a_gpu_until_a_node_has_one(local_cluster: LocalCluster, run_pod: Callable[..., str]) -> None:
    pod = run_pod("true", container={"resources": {"limits": {"nvidia.com/gpu": "1"}}})
    events = ("get", "events", "--field-selector", f"involvedObject.name={pod}", "-o", "jsonpath={.items[*].message}")
    local_cluster.wait(lambda: "Insufficient nvidia.com/gpu" in local_cluster.kubectl(*events), "the scheduler's words")
    local_cluster.give_resource(2, "nvidia.com/gpu", 1)
    wait_for(local_cluster, pod, "Succeeded")


def test_a_lost_node_is_noticed_and_comes_back(local_cluster: LocalCluster) -> None:
    node = local_cluster.node(2)
    node.stop_kubelet()
    local_cluster.wait(lambda: not local_cluster.ready_nodes()["node2"], "node2 is lost", 60)
    node.start_kubelet()
    local_cluster.wait(lambda: local_cluster.ready_nodes()["node2"], "node2 is Ready again", 60)


def test_a_node_joins_with_labels_and_leaves(local_cluster: LocalCluster, run_pod: Callable[..., str]) -> None:
    local_cluster.add_node(3, {"airloom.io/node-pool": "gpu"})
    pod = run_pod("true", nodeSelector={"airloom.io/node-pool": "gpu"})
    wait_for(local_cluster, pod, "Succeeded")
    assert f"dev {network.pod_bridge(3)}" in find_route("10.244.3.9")
    local_cluster.remove_node(3)
    assert find_route("10.244.3.9") == "unreachable"
    local_cluster.wait(lambda: "node3" not in local_cluster.ready_nodes(), "node3 is forgotten")


def test_no_packet_to_the_clusters_ranges_leaves_the_machine(local_cluster: LocalCluster) -> None:
    """To a pod of a node without a bridge, and to a node that is not there; a service's goes by way of its bridge."""
    for address in ("10.244.77.1", "172.30.0.99"):
        assert find_route(address) == "unreachable"
    assert f"dev {network.BRIDGE}" in find_route("10.96.0.99")


def find_route(address: str) -> str:
    done = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=False)
    return "unreachable" if "unreachable" in done.stderr.lower() or "no route" in done.stderr.lower() else done.stdout


def test_a_second_start_is_quick_and_changes_nothing(local_cluster: LocalCluster) -> None:
    before = local_cluster.processes.names()
    local_cluster.up()
    assert local_cluster.processes.names() == before


def test_taking_down_another_that_does_not_run_leaves_this_one_its_network(
    local_cluster: LocalCluster, run_pod: Callable[..., str], tmp_path: Path
) -> None:
    LocalCluster(tmp_path).down()
    assert network.BRIDGE in network.leftovers()
    assert {route.split()[1] for route in network.leftovers() if route.startswith("unreachable ")} == {
        network.PODS, network.SERVICES, network.NODES
    }  # fmt: skip
    pod = run_pod("until nslookup kubernetes.default.svc.cluster.local; do sleep 0.2; done")
    wait_for(local_cluster, pod, "Succeeded")


def test_it_comes_up_soon_and_small_and_leaves_nothing(local_cluster: LocalCluster) -> None:
    """Last, for it takes the cluster down; up again for whoever comes after."""
    bridges = [Path("/sys/class/net", network.pod_bridge(number), "brif") for number in (1, 2)]
    pod_links = [
        Path("/sys/class/net", port.name) for bridge in bridges if bridge.exists() for port in bridge.iterdir()
    ]
    assert pod_links
    local_cluster.down()
    assert local_cluster.processes.names() == []
    assert network.leftovers() == []
    assert list(Path("/sys/fs/cgroup").glob("*/airloom-node*")) == []
    folder = str(local_cluster.state)
    assert [line for line in Path("/proc/mounts").read_text().splitlines() if folder in line] == []
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if folder in read(path)] == []
    assert [path for path in Path("/var/lib/cni/results").glob("*") if folder in path.read_text()] == []
    wait_until(lambda: not any(link.exists() for link in pod_links), "the pods' interfaces are gone", 10)
    started = time.monotonic()
    local_cluster.up()
    seconds = time.monotonic() - started
    memory = local_cluster.processes.memory_bytes() / 1e9
    print(f"up in {seconds:.1f} s (goal 30), {memory:.2f} GB (goal 1.5)")
    assert seconds < 30
    assert memory < 1.5


def read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
