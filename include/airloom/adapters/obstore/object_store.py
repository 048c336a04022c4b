"""`ObjectStore` over a bucket of Google's or a container of Azure's. A put is atomic in both."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from airloom.errors import ConfigError, DataError, MissingExtraError, UnavailableError
from airloom.fork_guard import require_own_process
from airloom.protocol import Artifact
from airloom.snapshots import SnapshotFolders

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError
    from obstore.store import AzureStore, GCSStore
except ImportError as error:
    raise MissingExtraError("obstore", "obstore") from error

from airloom.adapters.obstore.failures import translated

SCHEMES: dict[str, Callable[..., Any]] = {"gs": GCSStore, "az": AzureStore}
_PART_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_ENDPOINTS = ("GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


class CloudObjectStore:
    """See `airloom.ports.ObjectStore`. Threads may share it."""

    def __init__(self) -> None:
        self._local: dict[str, tuple[str, Path]] = {}
        self._snapshots = SnapshotFolders(self, make_folder)

    def read(self, uri: str) -> bytes:
        with translated(uri):
            return bytes(self._get(uri).bytes())

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        with translated(uri):
            found = self._get(uri)
            now = _etag(found.meta)
            return None if now == etag else (bytes(found.bytes()), now)

    def write(self, uri: str, content: bytes) -> Artifact:
        store, key = self._find(uri)
        with translated(uri):
            obstore.put(store, key, content, use_multipart=False)
        return Artifact(uri=uri, digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        store, key = self._find(uri)
        mode: Any = "create" if etag is None else json.loads(etag)
        with translated(uri):
            try:
                return _etag(obstore.put(store, key, content, mode=mode, use_multipart=False))
            except (AlreadyExistsError, PreconditionError, FileExistsError):
                return None

    def upload(self, source: Path, uri: str) -> Artifact:
        if source.stat().st_size <= _PART_BYTES:
            return self.write(uri, source.read_bytes())
        store, key = self._find(uri)
        digest, size = hashlib.sha256(), 0

        def read() -> Iterator[bytes]:
            nonlocal size
            with source.open("rb") as file:
                while content := file.read(_PART_BYTES):
                    digest.update(content)
                    size += len(content)
                    yield content

        with translated(uri):
            obstore.put(store, key, read(), chunk_size=_PART_BYTES)
        return Artifact(uri=uri, digest=f"sha256:{digest.hexdigest()}", size=size)

    def upload_tree(self, source: Path, uri: str) -> str:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            self.upload(path, f"{uri}/{quote(path.relative_to(source).as_posix())}")
        return uri

    def local(self, uri: str) -> Path:
        etag, path = self._local.get(uri, (None, None))
        with translated(uri):
            found = self._get(uri)
        now = _etag(found.meta)
        if path is None or now != etag:
            path = make_folder() / PurePosixPath(_split(uri)[2]).name
            _save(found, uri, path)
            self._local[uri] = (now, path)
        return path

    def download(self, uri: str, target: Path) -> None:
        """The object as that file; a part of it where this fails."""
        with translated(uri):
            found = self._get(uri)
        _save(found, uri, target)

    def folder(self, prefix: str) -> Path:
        _split(prefix)
        return self._snapshots.open(prefix)

    def publish_folder(self, prefix: str) -> None:
        self._snapshots.publish(prefix)

    def exists(self, uri: str) -> bool:
        try:
            with translated(uri):
                self._get(uri)  # a HEAD could not tell a missing container from a missing object
        except DataError:
            return False
        return True

    def list(self, prefix: str) -> Iterable[str]:
        scheme, bucket, key = _split(prefix, may_be_whole=True)
        with translated(prefix):
            found = [each["path"] for page in obstore.list(_open(scheme, bucket), key or None) for each in page]
        return sorted(f"{scheme}://{bucket}/{quote(path)}" for path in found)

    def delete(self, uri: str) -> None:
        store, key = self._find(uri)
        with translated(uri):
            try:
                obstore.delete(store, key)
            except FileNotFoundError:
                self.exists(uri)  # which tells a missing container from a missing object

    def _get(self, uri: str) -> Any:
        store, key = self._find(uri)
        return obstore.get(store, key)

    def _find(self, uri: str) -> tuple[Any, str]:
        scheme, bucket, key = _split(uri)
        with translated(uri):
            return _open(scheme, bucket), key


def make_folder() -> Path:
    """A new local folder; it goes away with the process."""
    return Path(tempfile.mkdtemp(dir=_find_cache()))


@cache
def _find_cache() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="airloom-objects-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _open(scheme: str, bucket: str) -> Any:
    require_own_process()
    in_clear = any(os.environ.get(name, "").startswith("http:") for name in _ENDPOINTS)
    return SCHEMES[scheme](
        bucket,
        client_options={"connect_timeout": "2 s", "timeout": "60 s", "allow_http": in_clear},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )


def _etag(meta: Any) -> str:
    """What names an object's content to a conditional put: Azure goes by the ETag, Google by the generation."""
    return json.dumps({name: meta[name] for name in ("e_tag", "version") if meta[name] is not None})


def _save(found: Any, uri: str, target: Path) -> None:
    try:
        with translated(uri), target.open("wb") as file:
            for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                file.write(chunk)
    except OSError as error:
        raise UnavailableError(f"a local copy of {uri} cannot be written: {error}") from error


def _split(uri: str, may_be_whole: bool = False) -> tuple[str, str, str]:
    """Scheme, bucket and key."""
    parts = urlsplit(uri)
    key = unquote(parts.path.removeprefix("/"))
    segments = key.split("/") if key else []
    odd = any(segment in ("", ".", "..") for segment in segments) or not (key or may_be_whole)
    if parts.scheme not in SCHEMES or not parts.netloc or parts.query or parts.fragment or odd:
        raise ConfigError(f"{uri!r} is no gs://bucket/key or az://container/key URI, which this store has")
    return parts.scheme, parts.netloc, key
