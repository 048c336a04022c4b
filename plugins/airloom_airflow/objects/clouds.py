"""Reads objects of Google Cloud Storage and Azure Blob Storage, by obstore. `airloom_airflow.objects` calls it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore

from airloom.errors import ConfigError, UnavailableError
from airloom.fork_guard import require_own_process
from airloom_airflow.objects.opened import CHUNK_BYTES, NoSuchRangeError, OpenObject

_ENDPOINTS = ("GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_NO_BUCKET = ("ContainerNotFound", "NoSuchBucket", "bucket does not exist", "ContainerBeingDeleted")
_REFUSED = re.compile(r"status code: 4(?!08|29)\d\d|must be specified|MissingKey|Unable to decode|Invalid")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_SETTINGS = "Set AIRLOOM_ARTIFACTS_URI, and GOOGLE_… or AZURE_STORAGE_… or a workload identity, for Airflow too."


def open_object(uri: str, byte_range: str | None, with_content: bool) -> OpenObject | None:
    """See `airloom_airflow.objects.open_object`."""
    parts = urlsplit(uri)
    key = unquote(parts.path.removeprefix("/"))
    with _translated(uri):
        store = _connect(parts.scheme, parts.netloc)
        try:
            if not with_content:
                return OpenObject(obstore.head(store, key)["size"], None, iter(()))
            if byte_range is None:
                found = obstore.get(store, key)
                return OpenObject(found.meta["size"], None, _read_chunks(uri, found))
            size = obstore.head(store, key)["size"]
            start, end = _find_part(byte_range, size)
            found = obstore.get(store, key, options={"range": (start, end)})
            return OpenObject(end - start, f"bytes {start}-{end - 1}/{size}", _read_chunks(uri, found))
        except FileNotFoundError as error:
            if any(words in str(error) for words in _NO_BUCKET):
                raise ConfigError(f"there is no bucket or container for {uri}. {_SETTINGS}") from error
            return None


def _find_part(byte_range: str, size: int) -> tuple[int, int]:
    """Where a range begins, and ends before. Azure knows no range of the last bytes, so it is worked out here."""
    found = _RANGE.fullmatch(byte_range)
    first, last = found.groups() if found else ("", "")
    if first:
        start, end = int(first), min(size, int(last) + 1) if last else size
    else:
        start, end = max(0, size - int(last or 0)), size
    if start >= end:
        raise NoSuchRangeError(f"{byte_range} lies outside an object of {size} bytes")
    return start, end


def _connect(scheme: str, bucket: str) -> Any:
    require_own_process()
    kind: Any = {"gs": GCSStore, "az": AzureStore}[scheme]
    in_clear = any(os.environ.get(name, "").startswith("http:") for name in _ENDPOINTS)
    return kind(
        bucket,
        client_options={"connect_timeout": "2 s", "timeout": "60 s", "allow_http": in_clear},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )


def _read_chunks(uri: str, found: Any) -> Iterator[bytes]:
    with _translated(uri):
        for piece in found.stream(min_chunk_size=CHUNK_BYTES):
            view = memoryview(piece)
            for start in range(0, len(view), CHUNK_BYTES):
                yield bytes(view[start : start + CHUNK_BYTES])


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """obstore's exceptions, in our own words."""
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise ConfigError(f"{uri} cannot be read: {_shorten(error)}. {_SETTINGS}") from error
    except GenericError as error:
        if _REFUSED.search(str(error)):
            raise ConfigError(f"{uri} cannot be read: {_shorten(error)}. {_SETTINGS}") from error
        raise UnavailableError(f"the object store does not answer for {uri}: {_shorten(error)}") from error
    except BaseError as error:
        raise UnavailableError(f"the object store does not answer for {uri}: {_shorten(error)}") from error


def _shorten(error: Exception) -> str:
    """Without the debugging text that follows."""
    return " ".join(str(error).partition("Debug source:")[0].split())[:500]
