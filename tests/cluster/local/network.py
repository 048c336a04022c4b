"""What the cluster puts into the machine's network, and how it is taken out again, to the last rule."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cluster.local.programs import run

BRIDGE = "airloom0"
"""Carries the addresses of the API server and the nodes; there is no dummy interface type everywhere."""
SERVER_ADDRESS = "172.30.0.1"
SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/16"
NODES = "172.30.0.0/24"
"""With `SERVER_ADDRESS`."""
DNS_ADDRESS = "10.96.0.10"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_OURS = ("KUBE-", "CNI-", BRIDGE, "airloom-cni")
_LAST_METRIC = "4294967295"


def node_address(number: int) -> str:
    return f"172.30.0.{10 + number}"


def pod_bridge(number: int) -> str:
    """The bridge of a node's pods."""
    return f"airloom-cni{number}"


def write_pod_network(folder: Path, number: int) -> None:
    """The CNI configuration of a node: a bridge and a pod range of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    ranges = {
        "type": "host-local",
        "dataDir": str(folder / "addresses"),
        "ranges": [[{"subnet": f"10.244.{number}.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": pod_bridge(number),
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ranges,
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    document = {"cniVersion": "0.4.0", "name": f"node{number}", "plugins": plugins}
    (folder / "10-bridge.conflist").write_text(json.dumps(document))


def keep_ranges_in() -> None:
    """From now on no packet to the cluster's ranges leaves the machine, whatever bridge is gone or not there yet: where
    nothing else takes an address of them, it is unreachable."""
    for addresses in (PODS, SERVICES, NODES):
        run("ip", "route", "replace", "unreachable", addresses, "metric", _LAST_METRIC)


def add_addresses(state: Path, *addresses: str) -> None:
    """The bridge with the addresses; forwarding on, its former setting kept in the state folder."""
    keep_ranges_in()
    former = state / "ip_forward"
    if not former.exists():
        former.write_text(_FORWARD.read_text())
        _FORWARD.write_text("1")
    links = _links()
    if BRIDGE not in links:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
    present = run("ip", "-o", "-4", "addr", "show", "dev", BRIDGE)
    for address in addresses:
        if f" {address}/32 " not in present:
            run("ip", "addr", "add", f"{address}/32", "dev", BRIDGE)
    run("ip", "route", "replace", SERVICES, "dev", BRIDGE)  # kube-proxy gives them another address before they go


def take_out(state: Path) -> None:
    """Every interface, rule and setting of the cluster; nothing where it has put none in, for all is another's then."""
    former = state / "ip_forward"
    if not former.exists():
        return
    for link in _links():
        if link == BRIDGE or link.startswith("airloom-cni"):
            subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False)
    for program in ("iptables", "ip6tables"):
        saved = subprocess.run([f"{program}-save"], capture_output=True, text=True, check=False).stdout
        kept = [line for line in saved.splitlines() if not any(name in line for name in _OURS)]
        if len(kept) != len(saved.splitlines()):
            run(f"{program}-restore", input="\n".join(kept) + "\n")
    _FORWARD.write_text(former.read_text())
    for route in _unreachable():
        run("ip", "route", "delete", *route.split())
    former.unlink()


def leftovers() -> list[str]:
    """Interfaces, routes and rules of a cluster that are there now."""
    rules = run("iptables-save").splitlines()
    links = [link for link in _links() if link == BRIDGE or link.startswith("airloom-cni")]
    return links + _unreachable() + [rule for rule in rules if any(name in rule for name in _OURS)]


def _links() -> list[str]:
    return [line.split(":")[1].strip().partition("@")[0] for line in run("ip", "-o", "link").splitlines()]


def _unreachable() -> list[str]:
    """Routes of `keep_ranges_in`."""
    routes = run("ip", "-4", "route", "show", "type", "unreachable").splitlines()
    return [route.strip() for route in routes if route.split()[1] in (PODS, SERVICES, NODES)]
