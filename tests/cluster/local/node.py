"""One worker node: a containerd and a kubelet with folders, cgroups, an address and a pod network of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.cluster.local import network
from tests.cluster.local.processes import Processes
from tests.cluster.local.programs import ClusterError, run

PAUSE_IMAGE = "localhost/pause:1"
_CONTAINER_LOGS = Path("/var/log/containers")
"""Where each kubelet links its containers' logs; it cannot be told another folder."""
_POD_ADDRESSES = Path("/var/lib/cni/results")
"""Where containerd's CNI library keeps what it gave each pod; a pod that is killed with its node stays there."""
_CGROUPS = Path("/sys/fs/cgroup")
_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/run"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""


@dataclass(frozen=True)
class Node:
    """Node `number` of a cluster, 1 to 9.

    Args:
        state: the cluster's folder.
        programs: folder of Kubernetes' programs.
    """

    number: int
    state: Path
    programs: Path
    processes: Processes

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def folder(self) -> Path:
        return self.state / "nodes" / self.name

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"

    def start(self, kubeconfig: Path, authority: Path, labels: Mapping[str, str]) -> None:
        """Start containerd and kubelet, whichever does not run."""
        self._make_cgroups()
        network.add_addresses(self.state, network.node_address(self.number))
        network.write_pod_network(self.folder / "cni", self.number)
        (self.folder / "containerd.toml").write_text(_CONTAINERD.format(folder=self.folder, image=PAUSE_IMAGE))
        self.start_containerd()
        config = self.folder / "kubelet.yaml"
        config.write_text(yaml.safe_dump(self._configure(authority)))
        command = [
            self.programs / "kubelet",
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={network.node_address(self.number)}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'pki'}",
            f"--node-labels={','.join(f'{name}={value}' for name, value in labels.items())}",
        ]
        (self.folder / "kubelet.command").write_text("\n".join(map(str, command)))
        self.start_kubelet()

    def start_containerd(self) -> None:
        name = f"{self.name}-containerd"
        self.processes.start(name, ["containerd", "--config", self.folder / "containerd.toml"])
        deadline = time.monotonic() + 20
        while subprocess.run([*self._ctr, "version"], capture_output=True, check=False).returncode:
            self.processes.require(name)
            if time.monotonic() > deadline:
                raise ClusterError(f"containerd of {self.name} does not answer; see {self.processes.log(name)}")
            time.sleep(0.05)

    def start_kubelet(self) -> None:
        self.processes.start(f"{self.name}-kubelet", (self.folder / "kubelet.command").read_text().split("\n"))

    def stop_kubelet(self) -> None:
        """The node is lost to the control plane; its containers run on."""
        self.processes.stop(f"{self.name}-kubelet", number=signal.SIGKILL)

    def load_image(self, archive: Path) -> None:
        run(*self._ctr, "images", "import", archive)

    def stop(self) -> None:
        """Kubelet, containers and containerd, with their mounts and cgroups."""
        self.processes.stop(f"{self.name}-kubelet")
        if self.processes.is_running(f"{self.name}-containerd"):
            tasks = subprocess.run([*self._ctr, "tasks", "ls", "-q"], capture_output=True, text=True, check=False)
            for task in tasks.stdout.split():
                subprocess.run([*self._ctr, "tasks", "kill", "-s", "KILL", task], capture_output=True, check=False)
        self.processes.stop(f"{self.name}-containerd")
        self._kill_shims()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((each for each in mounts if each.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        for link in _CONTAINER_LOGS.glob("*.log"):
            if link.readlink().is_relative_to(self.folder):
                link.unlink()
        for result in _POD_ADDRESSES.glob("*"):
            if f"{self.folder}/" in result.read_text():
                result.unlink()
        self._remove_cgroups()
        subprocess.run(["ip", "link", "delete", network.pod_bridge(self.number)], capture_output=True, check=False)

    @property
    def _ctr(self) -> tuple[str, ...]:
        return ("ctr", "--address", str(self.socket), "--namespace", "k8s.io")

    @property
    def _cgroup(self) -> str:
        return f"airloom-{self.name}"

    def _configure(self, authority: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": str(self.folder / "pod-logs"),  # a kubelet deletes logs of pods that it does not know
            "port": 10250 + 10 * self.number,
            "healthzPort": 10248 + 10 * self.number,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [network.DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "featureGates": {"KubeletInUserNamespace": True},
            "failSwapOn": False,
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,  # images are put here by hand: what is deleted cannot be pulled again
            "nodeStatusUpdateFrequency": "4s",
            "resolvConf": "/etc/resolv.conf",
            "enforceNodeAllocatable": [],
        }

    def _make_cgroups(self) -> None:
        """A root of its own: two kubelets under one kill each other's pods as orphans."""
        if (_CGROUPS / "cgroup.controllers").exists():
            raise ClusterError("this machine has cgroup v2, for which this bring-up was not made; give a cluster by "
                               "AIRLOOM_TEST_KUBECONFIG")  # fmt: skip
        for controller in sorted(path for path in _CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()):
            (controller / self._cgroup).mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            (_CGROUPS / "cpuset" / self._cgroup / setting).write_text((_CGROUPS / "cpuset" / setting).read_text())

    def _remove_cgroups(self) -> None:
        for root in _CGROUPS.glob(f"*/{self._cgroup}"):
            for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
                _remove_cgroup(folder)
            _remove_cgroup(root)

    def _kill_shims(self) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "containerd-shim" in command and f"{self.socket}" in command:
                _kill_with_children(int(entry.parent.name))


def _kill_with_children(pid: int) -> None:
    try:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            _kill_with_children(int(child))
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass


def _remove_cgroup(folder: Path) -> None:
    """A cgroup goes once the last of its processes has gone, a moment after it was killed."""
    deadline = time.monotonic() + 5
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"{folder} cannot be removed: {error.strerror}; processes are left in it") from error
            time.sleep(0.05)
