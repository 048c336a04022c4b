"""The cluster's programs: Debian's by apt, Kubernetes and CoreDNS built from their Go modules into a cache."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

_FOLDER = Path(__file__).parents[1]
_DEBIAN = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "iptables-save": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "ethtool": "ethtool",
    "socat": "socat",
    "ip": "iproute2",
    "sysctl": "procps",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/bin/busybox": "busybox-static",
}
"""Program → package."""
VERSION = "1.35.4"
_LINKER = " ".join(
    [
        "-s -w",
        *(
            f"-X k8s.io/component-base/version.{name}={value}"
            for name, value in (("gitVersion", f"v{VERSION}"), ("gitMajor", "1"), ("gitMinor", "35"))
        ),
    ]
)


class ClusterError(Exception):
    """What went wrong with the cluster, and what to do."""


def ensure_programs(say: Callable[[str], object]) -> Path:
    """Install and build what is missing; gives the folder of what was built.

    Errors:
        ClusterError: apt or Go is not there, or fails.
    """
    _ensure_debian(say)
    target = built_programs()
    if not target.is_dir():
        if shutil.which("go") is None:
            raise ClusterError("Go is not there; install Go 1.26, or give a cluster by AIRLOOM_TEST_KUBECONFIG")
        part = target.with_name(f"{target.name}.{os.getpid()}")
        part.mkdir(parents=True)
        try:
            say("building Kubernetes and CoreDNS from their Go modules, once (about 12 minutes on two cores)")
            _build(_FOLDER / "kubernetes", part, "tool", _LINKER)
            _build(_FOLDER / "kubernetes", part, "./pause", "-s -w")
            _build(_FOLDER / "coredns", part, "tool", "-s -w")
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


@functools.cache
def built_programs() -> Path:
    """The folder of what is built, whether it is there yet or not."""
    digest = hashlib.sha256(f"{platform.machine()} {_LINKER}".encode())
    for file in (*sorted(_FOLDER.glob("*/go.*")), *sorted(_FOLDER.glob("kubernetes/pause/*.go"))):
        digest.update(file.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airloom"
    return cache / f"kubernetes-{VERSION}-{digest.hexdigest()[:12]}"


def run(*command: str | Path, **options: object) -> str:
    """A command's output.

    Errors:
        ClusterError: with its last words.
    """
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    except OSError as error:
        raise ClusterError(f"{command[0]} cannot be started: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise ClusterError(f"`{' '.join(map(str, command))}` ended with status {done.returncode}: {words}")
    return str(done.stdout)


def _ensure_debian(say: Callable[[str], object]) -> None:
    missing = sorted({package for program, package in _DEBIAN.items() if shutil.which(program) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"these Debian packages are missing: {' '.join(missing)}; install them")
    say(f"installing {' '.join(missing)}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=environ)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environ)


def _build(module: Path, target: Path, what: str, linker: str) -> None:
    command = ("go", "build", "-trimpath", "-ldflags", linker, "-o", f"{target}/", what)
    run(*command, cwd=module, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTELEMETRY": "off"})
