"""The cluster: etcd, a control plane and its nodes, all on this machine and all below one folder."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.local import network
from tests.cluster.local.credentials import Authority
from tests.cluster.local.images import write_image
from tests.cluster.local.node import PAUSE_IMAGE, Node
from tests.cluster.local.processes import Processes
from tests.cluster.local.programs import VERSION, ClusterError, built_programs, ensure_programs, run

_SERVER = "https://127.0.0.1:6443"
_PORTS = (2379, 2380, 6443, 10249, 10256, 10257, 10259)
_CONTROL_PLANE = ("kube-proxy", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
"""In the order in which they are stopped."""


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """A cluster by its folder; every method finds what runs by the files there."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._pki / "admin.kubeconfig"

    @property
    def processes(self) -> Processes:
        return Processes(self.state)

    def up(self, nodes: int = 2, say: Callable[[str], object] = lambda text: None) -> None:
        """Start what does not run; returns once all nodes are Ready and names are answered. What fails takes all down.

        Errors:
            ClusterError: a port is in use, a program fails, or it is not ready in time.
        """
        programs = ensure_programs(say)
        if not self.processes.names():
            _require_free_ports()
        try:
            self._start_control_plane(programs)
            for number in range(1, nodes + 1):
                self.add_node(number)
            self.kubectl("apply", "-f", str(Path(__file__).with_name("coredns.yaml")))
            names = {f"node{number}" for number in range(1, nodes + 1)}
            self.wait(lambda: names <= {name for name, ready in self.ready_nodes().items() if ready}, "nodes Ready")
            self.wait(lambda: "default" in self.kubectl("get", "serviceaccounts", "-o", "name"), "service accounts")
            self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop everything, with the servers that were put beside it, and take out every mount, cgroup, interface and
        rule; the logs stay."""
        names = self.processes.names()
        self.processes.stop(*(name for name in names if name not in _CONTROL_PLANE and not name.startswith("node")))
        for folder in sorted((self.state / "nodes").glob("node*")):
            self.node(int(folder.name.removeprefix("node"))).stop()
        self.processes.stop(*_CONTROL_PLANE[:-1])
        self.processes.stop("etcd")
        network.take_out(self.state)
        for folder in ("nodes", "etcd", "pki", "minio"):
            _remove(self.state / folder)

    def status(self) -> str:
        """What runs, for people."""
        names = self.processes.names()
        if not names:
            return "no cluster runs"
        lines = [f"{name}: {'runs' if self.processes.is_running(name) else 'has ended'}" for name in names]
        lines += [f"{name}: {'Ready' if ready else 'not ready'}" for name, ready in self.ready_nodes().items()]
        megabytes = self.processes.memory_bytes() / 1e6
        return "\n".join([*lines, f"{megabytes:.0f} MB in all", f"export KUBECONFIG={self.kubeconfig}"])

    def add_node(self, number: int, labels: Mapping[str, str] | None = None) -> Node:
        """Start a node; it joins by itself.

        Args:
            labels: beside the node pool, `airloom.io/node-pool: cpu` if not given otherwise.
        """
        node = self.node(number)
        node.folder.mkdir(parents=True, exist_ok=True)
        kubeconfig = self._authority.write_kubeconfig(node.name, f"system:node:{node.name}", "system:nodes")
        labels = {"airloom.io/node-pool": "cpu", **(labels or {})}
        node.start(kubeconfig, self._authority.certificate, labels)
        for archive in sorted((self.state / "images").glob("*.tar")):
            node.load_image(archive)
        return node

    def remove_node(self, number: int) -> None:
        """Stop a node, and forget it."""
        self.node(number).stop()
        self.kubectl("delete", "node", f"node{number}", "--wait=false", "--ignore-not-found")
        _remove(self.node(number).folder)

    def node(self, number: int) -> Node:
        return Node(number, self.state, built_programs(), self.processes)

    def stop_api_server(self) -> None:
        """The control plane is deaf until the next `up`; pods run on."""
        self.processes.stop("kube-apiserver")

    def load_image(self, archive: Path) -> None:
        """Put an image on every node."""
        for name in self.ready_nodes():
            self.node(int(name.removeprefix("node"))).load_image(archive)

    def write_kubeconfig(self, user: str) -> Path:
        """Of a user who has the rights that RBAC gives them."""
        return self._authority.write_kubeconfig(user, user)

    def give_resource(self, number: int, name: str, count: int) -> None:
        """Make the node say that it has `count` of an extended resource, such as `nvidia.com/gpu`."""
        path = f"/status/capacity/{name.replace('~', '~0').replace('/', '~1')}"
        patch = json.dumps([{"op": "add", "path": path, "value": str(count)}])
        self.kubectl("patch", "node", f"node{number}", "--subresource=status", "--type=json", f"--patch={patch}")

    def ready_nodes(self) -> dict[str, bool]:
        """Node → whether it is Ready."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return {item["metadata"]["name"]: _is_ready(item) for item in items}

    @property
    def kubectl_program(self) -> Path:
        return built_programs() / "kubectl"

    def require(self) -> None:
        """Errors:
        ClusterError: a process of the control plane has ended.
        """
        self.processes.require(*(name for name in self.processes.names() if name in _CONTROL_PLANE))

    @property
    def audit_log(self) -> Path:
        """Every request of the user `airloom-airflow`, a line of JSON each; for what counts requests."""
        return self.state / "logs" / "audit.jsonl"

    def count_requests(self) -> int:
        """How many requests of that user the API server has answered since it started."""
        with self.audit_log.open("rb") as log:
            return sum(1 for _ in log)

    def _write_audit_policy(self) -> Path:
        users = [{"level": "Metadata", "users": ["airloom-airflow"], "omitStages": ["RequestReceived"]}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [*users, {"level": "None"}]}
        path = self.state / "audit-policy.json"
        path.write_text(json.dumps(policy))
        self.audit_log.parent.mkdir(exist_ok=True)
        if not self.processes.is_running("kube-apiserver"):
            self.audit_log.unlink(missing_ok=True)
        return path

    @property
    def _pki(self) -> Path:
        return self.state / "pki"

    @property
    def _authority(self) -> Authority:
        return Authority(self._pki, _SERVER)

    def _start_control_plane(self, programs: Path) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        authority, processes = self._authority, self.processes
        network.add_addresses(self.state, network.SERVER_ADDRESS)
        processes.start(
            "etcd",
            ["etcd", f"--data-dir={self.state / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
             "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
             "--listen-peer-urls=http://127.0.0.1:2380"],
        )  # fmt: skip
        hosts = ("127.0.0.1", network.SERVER_ADDRESS, "10.96.0.1", "localhost", "kubernetes", "kubernetes.default.svc")
        serving, serving_key = authority.sign("apiserver", "kube-apiserver", hosts=hosts)
        client, client_key = authority.sign("apiserver-kubelet", "kube-apiserver", "system:masters")
        accounts = authority.write_account_key()
        authority.write_kubeconfig("admin", "admin", "system:masters")
        processes.start(
            "kube-apiserver",
            [programs / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443",
             "--bind-address=0.0.0.0", f"--advertise-address={network.SERVER_ADDRESS}",
             f"--tls-cert-file={serving}", f"--tls-private-key-file={serving_key}",
             f"--client-ca-file={authority.certificate}",
             f"--kubelet-client-certificate={client}", f"--kubelet-client-key={client_key}",
             "--kubelet-preferred-address-types=InternalIP",
             "--service-account-issuer=https://kubernetes.default.svc",
             f"--service-account-key-file={accounts}", f"--service-account-signing-key-file={accounts}",
             f"--service-cluster-ip-range={network.SERVICES}", "--authorization-mode=Node,RBAC",
             "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
             f"--audit-policy-file={self._write_audit_policy()}", f"--audit-log-path={self.audit_log}",
             "--audit-log-maxsize=4000"],
        )  # fmt: skip
        self.wait(lambda: self.kubectl("get", "--raw", "/readyz") == "ok", "the API server is ready")
        manager = authority.write_kubeconfig("controller-manager", "system:kube-controller-manager")
        processes.start(
            "kube-controller-manager",
            [programs / "kube-controller-manager", f"--kubeconfig={manager}", "--use-service-account-credentials",
             f"--service-account-private-key-file={accounts}", f"--root-ca-file={authority.certificate}",
             "--leader-elect=false", "--allocate-node-cidrs", f"--cluster-cidr={network.PODS}",
             "--node-monitor-grace-period=20s"],
        )  # fmt: skip
        scheduler = authority.write_kubeconfig("scheduler", "system:kube-scheduler")
        processes.start(
            "kube-scheduler", [programs / "kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false"]
        )
        proxy = authority.write_kubeconfig("proxy", "system:kube-proxy")
        processes.start(
            "kube-proxy",
            [programs / "kube-proxy", f"--kubeconfig={proxy}", "--hostname-override=node1", "--proxy-mode=iptables",
             f"--cluster-cidr={network.PODS}", "--conntrack-max-per-core=0", "--metrics-bind-address=127.0.0.1:10249"],
        )  # fmt: skip
        images = self.state / "images"
        images.mkdir(exist_ok=True)
        write_image(images / "pause.tar", PAUSE_IMAGE, programs / "pause", ["/bin/pause"])
        write_image(images / "coredns.tar", "localhost/coredns:1", programs / "coredns", ["/bin/coredns"])
        shell = ("sh", "cat", "echo", "sleep", "true", "false", "env", "id", "ls", "nslookup", "wget", "test", "dd")
        write_image(images / "busybox.tar", "localhost/busybox:1", Path("/usr/bin/busybox"), ["/bin/sh"], links=shell)


@contextmanager
def run_cluster(nodes: int = 2) -> Iterator[LocalCluster]:
    """One for tests, fresh; taken down at the end."""
    cluster = LocalCluster(Path(__file__).parents[3] / "build" / "test-cluster")
    cluster.down()
    cluster.up(nodes, say=lambda text: print(text, flush=True))
    try:
        yield cluster
    finally:
        cluster.down()


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _require_free_ports() -> None:
    for port in _PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise ClusterError(
                    f"port {port} is in use; Kubernetes {VERSION} wants {', '.join(map(str, _PORTS))}. Stop what holds "
                    "it, or give a cluster by AIRLOOM_TEST_KUBECONFIG"
                ) from error


def _remove(folder: Path) -> None:
    run("rm", "-rf", "--one-file-system", folder)
