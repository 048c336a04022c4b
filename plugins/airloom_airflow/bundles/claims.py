"""Which pipeline a file is about, where a pipeline's file lies, and which of several files has a pipeline's DAGs.

`dag_files` and `loader` call it. It reads no more of a file than its metadata, and checks nothing: what is wrong with a
file the loader of `airloom.spec` says, where the file's DAGs are built.

A pipeline is one file's. Where several claim its team and name, the one that was there first keeps its DAGs and the
others are import errors. First is, on every machine and after every restart, the file that bears the pipeline's name
(`<team>/<pipeline>.yaml`, which no copy under another name can take over); among files of which none does, the one
whose DAGs Airflow has; else the first in the order of their paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from airloom.errors import SpecError
from airloom.spec.document import parse_document
from airloom.spec.file_names import is_team, refuse_name

SUFFIXES = (".yaml", ".yml")
Stamp = tuple[int, int, int]

_PART = "[a-z0-9]+(?:[_-][a-z0-9]+)*"
_DAG_ID = re.compile(f"(?P<team>{_PART})__(?P<name>{_PART})__{_PART}")


@dataclass(frozen=True, order=True)
class Claim:
    """A pipeline by its team and name."""

    team: str
    name: str

    def __str__(self) -> str:
        return f"{self.team}/{self.name}"


def read_claim(root: Path, file: str, text: bytes) -> Claim | None:
    """The pipeline that a file claims; None where it claims none, or one of a team whose folder it does not lie in.

    Args:
        root: the folder of pipeline files.
        file: the file's path below it.
        text: the file's bytes.
    """
    metadata = _read_metadata(file, text)
    folder = _find_folder(file)
    team, name = metadata.get("team") or folder, metadata.get("name")
    if team is None:  # a file in the root itself, whose team may come from the defaults
        team = _read_metadata("defaults.yaml", read_bytes(root / "defaults.yaml")).get("team")
    if not (isinstance(team, str) and isinstance(name, str)) or folder not in (None, team):
        return None
    return Claim(team, name)


def split_dag_id(dag_id: str) -> Claim | None:
    """The pipeline of a DAG: `<team>__<pipeline>__<family>`, whose parts hold no `__`. None for others' DAGs."""
    parts = _DAG_ID.fullmatch(dag_id)
    return Claim(parts["team"], parts["name"]) if parts else None


def find_named_files(root: Path, claim: Claim) -> list[str]:
    """Files that bear the pipeline's name and claim it. At most four are looked at, however many there are."""
    return [file for file in list_named(claim) if read_claim(root, file, read_bytes(root / file)) == claim]


def find_claimants(root: Path, claim: Claim) -> list[str]:
    """Files that claim a pipeline.

    Those that bear its name, at a cost that does not depend on how many pipelines there are. Only where none does, its
    team's folder and the root are searched: each file is read, and only those that hold the name are parsed. A file
    that bears the name and claims nothing, since it cannot be read, is among them: whoever loads it says what is wrong.
    """
    if named := find_named_files(root, claim):
        return named
    found = [
        file
        for file in list_named(claim)
        if (root / file).is_file() and read_claim(root, file, read_bytes(root / file)) is None
    ]
    for folder in (root / claim.team, root):
        for path, _ in _list_folder(folder):
            file, text = path.relative_to(root).as_posix(), read_bytes(path)
            if claim.name.encode() in text and refuse_name(file) is None and read_claim(root, file, text) == claim:
                found.append(file)
    return found


def choose_owner(claim: Claim, files: Iterable[str], known: str | None = None) -> str:
    """Which of the files that claim a pipeline has its DAGs.

    Args:
        claim: the pipeline.
        files: paths below the folder of pipeline files; at least one.
        known: the one whose DAGs Airflow has, if any.
    """
    named = list_named(claim)
    return min(files, key=lambda file: (file not in named, file != known, file))


def list_named(claim: Claim) -> list[str]:
    """The paths at which a file bears the pipeline's name: in its team's folder, or in the root."""
    return [f"{folder}{claim.name}{suffix}" for folder in (f"{claim.team}/", "") for suffix in SUFFIXES]


def list_pipeline_files(root: Path) -> Iterator[tuple[str, Stamp]]:
    """Every pipeline file in the root and in its folders, as a path below the root; defaults and hidden names left out.

    The stamp changes where the file does. Among them may be names that are refused (`airloom.spec.file_names`).
    """
    teams = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for folder in (root, *teams):
        for path, stamp in _list_folder(folder):
            yield path.relative_to(root).as_posix(), stamp


def is_pipeline_file(file: str) -> bool:
    """Whether a path below the root is one at which pipeline files lie."""
    path = PurePosixPath(file)
    hidden = path.is_absolute() or any(part.startswith(".") for part in path.parts)
    return path.suffix in SUFFIXES and path.stem != "defaults" and not hidden and len(path.parts) <= 2


def read_bytes(path: Path) -> bytes:
    """A file's bytes; none where it cannot be read (building its DAGs says why)."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _list_folder(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):  # no such team, or removed while we look
        return
    except PermissionError:
        if is_team(folder.name):
            raise  # its pipelines are not gone for that
        return  # a volume's lost+found, say
    for entry in found:
        if is_pipeline_file(entry.name):
            try:
                status = entry.stat()
            except FileNotFoundError:  # removed while we look
                continue
            except OSError:  # links in a circle, say: building the file's DAGs says so
                status = entry.stat(follow_symlinks=False)
            yield Path(entry.path), (status.st_mtime_ns, status.st_size, status.st_ino)


def _find_folder(file: str) -> str | None:
    parts = PurePosixPath(file).parts
    return parts[0] if len(parts) > 1 else None


def _read_metadata(file: str, text: bytes) -> dict[str, Any]:
    try:
        metadata = parse_document(text, file).data["metadata"]
    except (SpecError, LookupError, TypeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
