"""Folders of a vendor's own files (a feature store's database), kept in a bucket and published whole.

`<prefix>/current.json` names every file of the folder. A file lies under the snapshot that brought it,
`<prefix>/<snapshot>/<name>`, and is never written again. To publish is to upload what has changed as a new snapshot,
then to replace `current.json`, on condition that it is still the one that this folder began from: a reader sees the
old files or the new, and of two that publish at once one is refused.

The object stores of buckets (`airloom.adapters.s3`, `airloom.adapters.obstore`) build on it. It knows no vendor.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from airloom.errors import DataError, UnavailableError
from airloom.protocol import Artifact

_TRIES = 3
"""Of reading a snapshot that is replaced, and its files removed, meanwhile."""


class SnapshotStore(Protocol):
    """What the folders need of a bucket. Errors as `airloom.ports.ObjectStore`'s."""

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        """The object and its ETag; None where it still has the ETag given."""
        ...

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        """Write only over the object with that ETag, or (None) only where nothing is.

        Returns:
            the new ETag; None where something else is there, and nothing was written.
        """
        ...

    def upload(self, source: Path, uri: str) -> Artifact: ...

    def download(self, uri: str, target: Path) -> None:
        """The object as that file; a part of it where this fails."""
        ...

    def delete(self, uri: str) -> None: ...


class _Current(BaseModel):
    """`current.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    snapshot: str
    files: dict[str, Artifact]
    """Path in the folder → object."""


@dataclass
class _Held:
    """A local folder, and what it began from."""

    path: Path
    etag: str | None = None
    files: dict[str, Artifact] = field(default_factory=dict)
    before: Path | None = None
    """The folder that it follows; a caller may be using it still."""


class SnapshotFolders:
    """The folders that one process has open.

    Args:
        make_folder: gives a new local folder.
    """

    def __init__(self, store: SnapshotStore, make_folder: Callable[[], Path]) -> None:
        self._store = store
        self._make_folder = make_folder
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def open(self, prefix: str) -> Path:
        """The newest files: the folder given last, if nothing was published since, else a new one. The one before
        the last goes away."""
        with self._lock:
            for _ in range(_TRIES):
                held = self._held.get(prefix)
                try:
                    found = self._store.read_unless(_current_uri(prefix), held.etag if held else None)
                except DataError:  # nothing was published yet
                    if held is None or held.etag:
                        held = self._held[prefix] = _Held(self._make_folder())
                    return held.path
                if found is None:
                    assert held is not None
                    return held.path
                try:
                    return self._take(prefix, *found)
                except DataError:  # replaced since `current.json` was read
                    continue
        raise UnavailableError(f"{prefix} is published faster than it can be read; try again")

    def publish(self, prefix: str) -> None:
        """Publish the open folder's files; nothing where none has changed.

        Errors:
            UnavailableError: another process has published since the folder was opened; nothing was published.
        """
        with self._lock:
            held = self._held.get(prefix)
            if held is None:
                return
            snapshot = f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
            files = {}
            for name, path in _walk(held.path):
                kept = held.files.get(name)
                if kept is None or kept.digest != _digest(path):
                    kept = self._store.upload(path, f"{prefix}/{snapshot}/{quote(name)}")
                files[name] = kept
            if files == held.files:
                return
            content = _Current(snapshot=snapshot, files=files).model_dump_json(indent=1).encode()
            etag = self._store.replace(_current_uri(prefix), content, held.etag)
            if etag is None:
                self._remove(files, held.files)
                del self._held[prefix]
                raise UnavailableError(f"another run has published {prefix} meanwhile; nothing was published")
            replaced, held.etag, held.files = held.files, etag, files
            self._remove(replaced, files)

    def _take(self, prefix: str, content: bytes, etag: str) -> Path:
        current = _Current.model_validate_json(content)
        last = self._held.get(prefix)
        path = self._make_folder()
        try:
            for name, artifact in current.files.items():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._store.download(artifact.uri, target)
        except Exception:
            shutil.rmtree(path, ignore_errors=True)
            raise
        if last and last.before:
            shutil.rmtree(last.before, ignore_errors=True)
        self._held[prefix] = _Held(path, etag, current.files, last.path if last else None)
        return path

    def _remove(self, files: dict[str, Artifact], but: dict[str, Artifact]) -> None:
        for uri in {artifact.uri for artifact in files.values()} - {artifact.uri for artifact in but.values()}:
            with contextlib.suppress(UnavailableError):  # it is in nobody's way
                self._store.delete(uri)


def _current_uri(prefix: str) -> str:
    return f"{prefix}/current.json"


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
