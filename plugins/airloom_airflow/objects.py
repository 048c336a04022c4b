"""Reads an object of the installation's store, a folder or a bucket. Operators, sensors and the web UI call it.

The stages' side has its own, with writing (`airloom.adapters`), which this side may not load.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airloom.errors import ConfigError, UnavailableError

_SETTINGS = (
    "Set AIRLOOM_ARTIFACTS_URI, AWS_ENDPOINT_URL, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a workload "
    "identity, for Airflow too."
)


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
    if parts.scheme == "s3":
        return _read_bucket(uri, parts.netloc, unquote(parts.path.removeprefix("/")))
    raise ConfigError(f"no object store has {uri!r}; set AIRLOOM_ARTIFACTS_URI to file:///… or s3://bucket/…")


def list_objects(uri: str, *, recursive: bool = True) -> dict[str, str]:
    """Objects below a bucket's prefix: what stands after the prefix → a tag that changes with the content.

    Args:
        uri: `s3://bucket/prefix/`.
        recursive: also those with a further `/` after the prefix.

    Errors:
        UnavailableError: the store does not answer.
        ConfigError: no bucket has such a URI, there is no such bucket, or the credentials may not list it.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3":
        raise ConfigError(f"{uri!r} cannot be listed; give s3://bucket/prefix/")
    prefix = unquote(parts.path.removeprefix("/"))
    found: dict[str, str] = {}
    with _translate(uri):
        pages = _open_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=parts.netloc, Prefix=prefix, Delimiter="" if recursive else "/"):
            for entry in page.get("Contents", ()):
                found[entry["Key"].removeprefix(prefix)] = entry["ETag"]
    return found


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


def _read_bucket(uri: str, bucket: str, key: str) -> bytes | None:
    with _translate(uri):
        client = _open_client()
        try:
            return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        except client.exceptions.NoSuchKey:
            return None


@contextlib.contextmanager
def _translate(uri: str) -> Iterator[None]:
    """The vendor's errors become ours."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    try:
        yield
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise UnavailableError(f"the object store does not answer for {uri}: {error}") from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or status == 429 or code == "RequestTimeout":
            raise UnavailableError(f"{uri} cannot be read: {error}") from error
        raise ConfigError(f"{uri} cannot be read: {error}. {_SETTINGS}") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"{uri} cannot be read: {error}. {_SETTINGS}") from error
