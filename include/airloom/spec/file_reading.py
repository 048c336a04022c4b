"""Reads the bytes of files that somebody else writes: pipeline files, their defaults, cluster files.

`document` calls it, and the Airflow side's bundles before they know what a file holds. Whoever may push a pipeline file
may push a link in its place, so a file is read only where that can neither hang, nor fill the memory, nor show another
file of this machine. Not here: what the bytes mean (`document`).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from airloom.errors import Finding, SpecError

MAX_BYTES = 1_000_000
"""Of a YAML file. A larger one is read no further than to see that it is."""

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
"""Not to wait for a pipe's other end, and not to follow a link that came after the look at where the path leads."""


def read_file(path: Path, root: Path | None = None) -> bytes:
    """A regular file's bytes, at most `MAX_BYTES` and one more.

    Args:
        path: the file. It may be a link, as each file of a Kubernetes ConfigMap is.
        root: the folder of pipeline files, in which a link must end; left out, it may end anywhere.

    Errors:
        SpecError: it cannot be read, is no regular file, or leads out of the root.
    """
    if root is not None and not lies_in(root, path):
        raise _refuse(
            path,
            f"is a link, or lies behind one, that leads out of the folder of pipeline files, {root}, so it is not "
            "read; put the file itself there",
        )
    try:
        descriptor = os.open(os.path.realpath(path) if path.is_symlink() else path, _FLAGS)
        try:
            mode = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _refuse(path, "is a pipe or a device, so it is not read; put a regular file in its place")
            with open(descriptor, "rb", closefd=False) as stream:
                return stream.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror or error}") from error


def lies_in(root: Path, path: Path) -> bool:
    """Whether a path ends in a folder, all links followed; the folder itself may be one."""
    return _has_no_link(root, path) or Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def is_folder(path: Path) -> bool:
    """Whether a folder is there; False too where nobody can look, as at a link with a name that no disk takes."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _has_no_link(root: Path, path: Path) -> bool:
    """Whether nothing between a folder and a path below it is a link: a look at two places, where following all links
    takes ten times as long, which counts among thousands of files."""
    here, end = str(path), str(root)
    if not here.startswith(f"{end}/") or ".." in here:
        return False
    try:
        while len(here) > len(end):
            if stat.S_ISLNK(os.lstat(here).st_mode):
                return False
            here = here.rpartition("/")[0]
    except OSError:
        return False
    return True


def _refuse(path: Path, message: str) -> SpecError:
    return SpecError(findings=[Finding(str(path), 0, 0, "", message)])
