"""The cluster's programs: Debian's by apt, Kubernetes and CoreDNS built from their Go modules into a cache."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
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
    ensure_debian(_DEBIAN, say)
    target = built_programs()
    if not target.is_dir():
        say("building Kubernetes and CoreDNS from their Go modules, once (about 12 minutes on two cores)")
        build_into(
            target,
            (_FOLDER / "kubernetes", "tool", _LINKER),
            (_FOLDER / "kubernetes", "./pause", "-s -w"),
            (_FOLDER / "coredns", "tool", "-s -w"),
        )
    return target


@functools.cache
def built_programs() -> Path:
    """The folder of what is built, whether it is there yet or not."""
    modules = [_FOLDER / name / file for name in ("coredns", "kubernetes") for file in ("go.mod", "go.sum")]
    digest = digest_of(_LINKER, *modules, *sorted(_FOLDER.glob("kubernetes/pause/*.go")))
    return user_cache() / f"kubernetes-{VERSION}-{digest}"


def digest_of(linker: str, *files: Path) -> str:
    """What a Go build is kept under: its machine, its linker's flags, and its files."""
    digest = hashlib.sha256(f"{platform.machine()} {linker}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def user_cache() -> Path:
    """Where what takes long to make is kept, for all checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airloom"


def build_into(target: Path, *builds: tuple[Path, str, str]) -> None:
    """Build Go modules into a folder, which is there only once they all are.

    Args:
        builds: a module's folder, what of it to build, the linker's flags.

    Errors:
        ClusterError: Go is not there, or fails.
    """
    if shutil.which("go") is None:
        raise ClusterError(f"Go is not there to build {target.name}; install Go 1.26")
    environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTELEMETRY": "off"}
    part = target.with_name(f"{target.name}.{os.getpid()}")
    part.mkdir(parents=True)
    try:
        for module, what, linker in builds:
            command = ("go", "build", "-trimpath", "-ldflags", linker, "-o", f"{part}/", what)
            run(*command, cwd=module, env=environ)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


def ensure_debian(programs: Mapping[str, str], say: Callable[[str], object]) -> None:
    """Install the Debian packages of programs that are not there.

    Args:
        programs: program → package.

    Errors:
        ClusterError: one is missing and cannot be installed.
    """
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"these Debian packages are missing: {' '.join(missing)}; install them")
    say(f"installing {' '.join(missing)}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-qq", env=environ)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environ)
