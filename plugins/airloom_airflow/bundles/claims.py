"""Which pipeline a file is about, and where a pipeline's file lies; which of several has its DAGs `airloom.spec` says.

`dag_files` and `loader` call it. It goes by no more of a file than its team and name, by the same rules as the
loader of `airloom.spec`, and says nothing of what is wrong with a file: that loader does, where its DAGs are built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from airloom.errors import SpecError
from airloom.spec.file_names import is_team, refuse_name
from airloom.spec.file_reading import is_folder, lies_in, read_file
from airloom.spec.loader import SUFFIXES, load_metadata
from airloom.spec.ownership import Claim, list_named
from airloom.spec.section import is_name

Stamp = tuple[int, int, int]

_PART = "[a-z0-9]+(?:[_-][a-z0-9]+)*"
_DAG_ID = re.compile(f"(?P<team>{_PART})__(?P<name>{_PART})__{_PART}")


def read_claim(root: Path, file: str, text: bytes) -> Claim | None:
    """The pipeline that a file claims, which is the one that `load_pipeline` makes of it.

    None where that would refuse the file for its team or name: they are missing, are no names, or the file lies in
    another team's folder. A file that it would refuse for anything else still claims its pipeline.

    Args:
        root: the folder of pipeline files.
        file: the file's path below it.
        text: the file's bytes.
    """
    metadata = load_metadata(root, file, text)
    team, name = metadata.get("team"), metadata.get("name")
    folder, _, _ = file.rpartition("/")
    if not (is_name(team) and is_name(name)) or folder not in ("", team):
        return None
    return Claim(str(team), str(name))


def split_dag_id(dag_id: str) -> Claim | None:
    """The pipeline of a DAG: `<team>__<pipeline>__<family>`, whose parts hold no `__`. None for others' DAGs."""
    parts = _DAG_ID.fullmatch(dag_id)
    return Claim(parts["team"], parts["name"]) if parts else None


def find_named_files(root: Path, claim: Claim) -> list[str]:
    """Files that bear the pipeline's name and claim it. At most four are looked at, however many there are."""
    return [file for file in list_named(claim) if read_claim(root, file, read_bytes(root, file)) == claim]


def find_claimants(root: Path, claim: Claim) -> list[str]:
    """Files that claim a pipeline.

    Those that bear its name, at a cost that does not depend on how many pipelines there are. Only where none does, its
    team's folder and the root are searched: each file is read, and only those that hold the name, or a `\\` by which
    YAML may write it, are parsed. A file that bears the name and claims nothing, since it cannot be read, is among
    them: whoever loads it says what is wrong.
    """
    if named := find_named_files(root, claim):
        return named
    found = [
        file
        for file in list_named(claim)
        if os.path.lexists(root / file) and read_claim(root, file, read_bytes(root, file)) is None
    ]
    for folder in (claim.team, ""):
        for file, _ in _list_folder(root, folder) if lies_in(root, root / folder) else ():
            text = read_bytes(root, file)
            held = claim.name.encode() in text or b"\\" in text
            if held and refuse_name(file) is None and read_claim(root, file, text) == claim:
                found.append(file)
    return found


def list_pipeline_files(root: Path) -> Iterator[tuple[str, Stamp]]:
    """Every pipeline file in the root and in its folders, as a path below the root; defaults and hidden names left out.

    The stamp changes where the file does. Among them may be names that are refused (`airloom.spec.file_names`). A
    folder that is a link out of the root is listed as a file is: reading it says what is wrong.
    """
    yield from _list_folder(root, "")
    with os.scandir(root) as entries:
        found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in found:
        if entry.is_symlink() and not lies_in(root, root / entry.name):
            if not is_pipeline_file(entry.name) and not _is_file(entry):
                yield entry.name, _stamp(entry.stat(follow_symlinks=False))
        elif entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and is_folder(root / entry.name)):
            yield from _list_folder(root, entry.name)


def is_pipeline_file(file: str) -> bool:
    """Whether a path below the root is one at which pipeline files lie."""
    path = PurePosixPath(file)
    hidden = path.is_absolute() or any(part.startswith(".") for part in path.parts)
    return path.suffix in SUFFIXES and path.stem != "defaults" and not hidden and len(path.parts) <= 2


def read_bytes(root: Path, file: str) -> bytes:
    """The bytes of a file below the root; none where it is not to be read (building its DAGs says why)."""
    try:
        return read_file(root / file, root)
    except SpecError:
        return b""


def _list_folder(root: Path, folder: str) -> Iterator[tuple[str, Stamp]]:
    """Pipeline files in a folder below the root, or with no name in the root itself."""
    try:
        with os.scandir(root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):  # no such team, or removed while we look
        return
    except PermissionError:
        if not folder or is_team(folder):
            raise  # its pipelines are not gone for that
        return  # a volume's lost+found, say
    for entry in found:
        if is_pipeline_file(entry.name):
            try:
                status = entry.stat()
            except OSError:  # a link in a circle or to nowhere, say: building the file's DAGs says so
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed while we look
                    continue
            yield f"{folder}/{entry.name}" if folder else entry.name, _stamp(status)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # nobody can look
        return False


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
