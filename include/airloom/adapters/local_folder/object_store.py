"""`ObjectStore` over files. What is written is synced before it gets its name, so a full disk leaves no part."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from airloom.errors import ConfigError, DataError, UnavailableError
from airloom.protocol import Artifact

_CHUNK_BYTES = 1 << 20


class LocalFolderObjectStore:
    """See `airloom.ports.object_store.ObjectStore`. A full or read-only disk is an UnavailableError."""

    def read(self, uri: str) -> bytes:
        try:
            return _path(uri).read_bytes()
        except FileNotFoundError as error:
            raise DataError(f"there is no object {uri}") from error
        except OSError as error:
            raise UnavailableError(f"cannot read {uri}: {error}") from error

    def write(self, uri: str, content: bytes) -> Artifact:
        return _put(uri, lambda file: file.write(content), os.replace)

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        content = self.read(uri)
        now = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return None if now == etag else (content, now)

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        try:
            if etag is None:
                return _put(uri, lambda file: file.write(content), os.link).digest
            with _locked(_path(uri)) as path:
                if _digest(path) != etag:
                    return None
                return _put(uri, lambda file: file.write(content), os.replace).digest
        except (FileExistsError, FileNotFoundError):
            return None
        except OSError as error:
            raise UnavailableError(f"cannot lock {uri}: {error}. Nothing was published.") from error

    def upload(self, source: Path, uri: str) -> Artifact:
        def copy(target: BinaryIO) -> None:
            with source.open("rb") as file:
                shutil.copyfileobj(file, target, _CHUNK_BYTES)

        return _put(uri, copy, os.replace)

    def upload_tree(self, source: Path, uri: str) -> str:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            self.upload(path, f"{uri}/{quote(path.relative_to(source).as_posix())}")
        return uri

    def local(self, uri: str) -> Path:
        path = _path(uri)
        if not path.exists():
            raise DataError(f"there is no object {uri}")
        return path

    def folder(self, prefix: str) -> Path:
        path = _path(prefix)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def publish_folder(self, prefix: str) -> None:
        """Others have the same folder."""

    def exists(self, uri: str) -> bool:
        return _path(uri).is_file()

    def list(self, prefix: str) -> Iterable[str]:
        root = _path(prefix)
        return sorted(path.as_uri() for path in root.rglob("*") if path.is_file() and not path.name.startswith(".tmp-"))

    def delete(self, uri: str) -> None:
        _path(uri).unlink(missing_ok=True)


def _path(uri: str) -> Path:
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or not path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"{uri!r} is no file:///absolute/path URI, the only kind that a folder store has")
    return path


def _put(uri: str, fill: Callable[[BinaryIO], object], publish: Callable[[str, Path], None]) -> Artifact:
    path = _path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path.parent) as (name, file):
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            artifact = Artifact(uri=uri, digest=_digest(name), size=Path(name).stat().st_size)
            publish(name, path)
        return artifact
    except FileExistsError:
        raise
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
        raise UnavailableError(f"cannot write {uri}: {why}. Nothing was published.") from error


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Nobody else replaces the file within the block. The lock is a file beside it, since a rename takes a file's own
    lock away; it goes with whoever held it last, and one that a killed process left is taken over."""
    lock = path.with_name(f".tmp-lock-{path.name}")
    while True:
        with lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_named(file, lock):  # whoever held it has removed it meanwhile
                continue
            try:
                yield path
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_named(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=folder)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield name, file
    finally:
        Path(name).unlink(missing_ok=True)


def _digest(name: str | Path) -> str:
    with Path(name).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
