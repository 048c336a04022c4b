"""Reads objects of the installation's store, a folder or a bucket: small ones whole, large ones in pieces.

Operators and sensors read results (`read_object`), the web UI streams artifacts of a bucket (`open_object`). The
stages' side has its own, with writing (`airloom.adapters`), which this side may not load.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airloom.errors import ConfigError, UnavailableError

CHUNK_BYTES = 256 * 1024
"""How much of a bucket's object is held at once."""
_SETTINGS = (
    "Set AIRLOOM_ARTIFACTS_URI, AWS_ENDPOINT_URL, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a workload "
    "identity, for Airflow too."
)
_ABSENT = ("NoSuchKey", "404")  # of GET, and of HEAD, whose answer has no body to say more


class NoSuchRangeError(ValueError):
    """The part of an object that was asked for lies outside it."""


@dataclass(frozen=True)
class OpenObject:
    """An object of a bucket, or a part of it.

    Attributes:
        size: of what `chunks` gives, in bytes.
        content_range: of a part, as HTTP's Content-Range: `bytes 0-99/1000`.
        chunks: its bytes, at most `CHUNK_BYTES` at once; closing it before its end lets the connection go. Raises
            UnavailableError where the store goes away meanwhile. Empty where only the size was asked for.
    """

    size: int
    content_range: str | None
    chunks: Iterator[bytes]


def read_object(uri: str) -> bytes | None:
    """An object's bytes; None where there is none.

    Args:
        uri: `file:///…` or `s3://bucket/key`.

    Errors:
        UnavailableError: the store does not answer.
        ConfigError: no store has such a URI, there is no such bucket, or the credentials may not read it.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        try:
            return Path(unquote(parts.path)).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"{uri} cannot be read: {error}") from error
    with _translated(uri):
        found = _get(uri)
        return None if found is None else bytes(found["Body"].read())


def open_object(uri: str, byte_range: str | None = None, *, with_content: bool = True) -> OpenObject | None:
    """An object of a bucket, to be read in pieces; None where there is none.

    Args:
        uri: `s3://bucket/key`.
        byte_range: the part that is wanted, as HTTP's Range with one range: `bytes=0-99`. None: all.
        with_content: False: its size alone.

    Errors: as `read_object`'s, and
        NoSuchRangeError: the part lies outside the object.
    """
    with _translated(uri):
        found = _get(uri, byte_range) if with_content else _get_head(uri)
    if found is None:
        return None
    chunks = _read_chunks(uri, found["Body"]) if with_content else iter(())
    return OpenObject(found["ContentLength"], found.get("ContentRange"), chunks)


def warm_up(uri: str) -> None:
    """Make ready what reads objects below `uri`: the first client costs 150 ms, which forked processes then spare."""
    if uri.startswith("s3:"):
        with contextlib.suppress(Exception):  # whoever reads will be told
            _open_client()


def _open_client() -> Any:
    return _client_by(frozenset(item for item in os.environ.items() if item[0].startswith("AWS_")))


@functools.cache
def _client_by(_: frozenset[tuple[str, str]]) -> Any:
    """One client for each environment."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=2,
        read_timeout=20,
        retries={"mode": "standard", "max_attempts": 3},
        response_checksum_validation="when_required",  # stores other than AWS do not all know its newer checksums
    )
    return boto3.session.Session().client("s3", config=config)


def _get(uri: str, byte_range: str | None = None) -> Any:
    """The store's answer; None where there is no such object."""
    place = _find_place(uri)
    return _unless_absent(lambda: _open_client().get_object(**place, **({"Range": byte_range} if byte_range else {})))


def _get_head(uri: str) -> Any:
    place = _find_place(uri)
    return _unless_absent(lambda: _open_client().head_object(**place))


def _find_place(uri: str) -> dict[str, str]:
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise ConfigError(f"no object store has {uri!r}; set AIRLOOM_ARTIFACTS_URI to file:///… or s3://bucket/…")
    return {"Bucket": parts.netloc, "Key": unquote(parts.path.removeprefix("/"))}


def _unless_absent(ask: Any) -> Any:
    from botocore.exceptions import ClientError

    try:
        return ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return None
        raise


def _read_chunks(uri: str, body: Any) -> Iterator[bytes]:
    with closing(body), _translated(uri):
        yield from body.iter_chunks(CHUNK_BYTES)


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """boto3's exceptions, in our own words."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    try:
        yield
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise UnavailableError(f"the object store does not answer for {uri}: {error}") from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 416:
            raise NoSuchRangeError(f"{uri} has no such part: {error}") from error
        if status >= 500 or status == 429 or code == "RequestTimeout":
            raise UnavailableError(f"{uri} cannot be read: {error}") from error
        raise ConfigError(f"{uri} cannot be read: {error}. {_SETTINGS}") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"{uri} cannot be read: {error}. {_SETTINGS}") from error
