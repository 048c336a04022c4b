"""The base image where no registry is reachable: Debian's smallest system with its Python 3.11, made by debootstrap."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster.local.programs import run

_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_SOURCES = """\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
_LEFT_OUT = (
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "root/.*",
    "usr/share/doc/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/*",
    "var/log/*",
    "dev/*",
    "tmp/*",
)
"""What no image needs, or what tells of the machine that made it."""


def build_debian(cache: Path, say: Callable[[str], object]) -> Path:
    """The base's files as a tar, from the cache or made now. Remove it there for Debian's newest.

    Errors:
        ClusterError: debootstrap or apt fails.
    """
    recipe = hashlib.sha256("\n".join((_SUITE, _PACKAGES, _SOURCES, *_LEFT_OUT)).encode()).hexdigest()[:12]
    archive = cache / f"debian-{recipe}.tar"
    if archive.exists():
        return archive
    say(f"making a Debian {_SUITE} to build on, once (about two minutes)")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryDirectory(dir=cache, prefix="debian.") as folder:
        root = Path(folder) / "root"
        run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root, env=environ)
        (root / "etc/apt/sources.list").write_text(_SOURCES)
        for command in (("update", "-qq"), ("upgrade", "-y", "-qq"), ("clean",)):
            run("chroot", root, "apt-get", *command, env=environ)
        for pattern in _LEFT_OUT:
            for path in root.glob(pattern):
                _remove(path)
        part = Path(folder) / archive.name
        run("tar", "--sort=name", "--mtime=@0", "--numeric-owner", "-C", root, "-cf", part, ".")
        for old in cache.glob("debian-*.tar"):
            old.unlink()
        part.rename(archive)
    return archive


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
