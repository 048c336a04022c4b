"""Reads objects of S3, or what speaks its protocol, by boto3. `airloom_airflow.objects` calls it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from airloom.errors import ConfigError, UnavailableError
from airloom_airflow.objects.opened import CHUNK_BYTES, NoSuchRangeError, OpenObject

_SETTINGS = (
    "Set AIRLOOM_ARTIFACTS_URI, AWS_ENDPOINT_URL, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a workload "
    "identity, for Airflow too."
)
_ABSENT = ("NoSuchKey", "404")  # of GET, and of HEAD, whose answer has no body to say more


def open_object(uri: str, byte_range: str | None, with_content: bool) -> OpenObject | None:
    """See `airloom_airflow.objects.open_object`."""
    with _translated(uri):
        found = _ask(uri, byte_range, with_content)
    if found is None:
        return None
    chunks = _read_chunks(uri, found["Body"]) if with_content else iter(())
    return OpenObject(found["ContentLength"], found.get("ContentRange"), chunks)


def list_objects(uri: str, *, recursive: bool) -> dict[str, str]:
    """See `airloom_airflow.objects.list_objects`."""
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise ConfigError(f"{uri!r} cannot be listed; give s3://bucket/prefix/")
    prefix = unquote(parts.path.removeprefix("/"))
    found: dict[str, str] = {}
    with _translated(uri):
        pages = open_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=parts.netloc, Prefix=prefix, Delimiter="" if recursive else "/"):
            for entry in page.get("Contents", ()):
                found[entry["Key"].removeprefix(prefix)] = entry["ETag"]
    return found


def open_client() -> Any:
    """A client by the environment as it is now."""
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


def _ask(uri: str, byte_range: str | None, with_content: bool) -> Any:
    """The store's answer; None where there is no such object."""
    from botocore.exceptions import ClientError

    parts = urlsplit(uri)
    place = {"Bucket": parts.netloc, "Key": unquote(parts.path.removeprefix("/"))}
    client = open_client()
    try:
        if not with_content:
            return client.head_object(**place)
        return client.get_object(**place, **({"Range": byte_range} if byte_range else {}))
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
