"""Reads objects of the installation's store: small ones whole, large ones in pieces.

Operators and sensors read results (`read_object`), the web UI streams artifacts (`open_object`). `buckets` reads S3 by
boto3, `clouds` Google's and Azure's by obstore; each is loaded when it is first asked for. The stages' side has its
own, with writing (`airloom.adapters`), which this side may not load.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airloom.errors import ConfigError, UnavailableError
from airloom_airflow.objects.opened import CHUNK_BYTES, NoSuchRangeError, OpenObject

__all__ = ["CHUNK_BYTES", "NoSuchRangeError", "OpenObject", "list_objects", "open_object", "read_object", "warm_up"]


def read_object(uri: str) -> bytes | None:
    """An object's bytes; None where there is none.

    Args:
        uri: `file:///…`, `s3://bucket/key`, `gs://bucket/key` or `az://container/key`, its path percent-encoded.

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
    found = open_object(uri)
    return None if found is None else b"".join(found.chunks)


def open_object(uri: str, byte_range: str | None = None, *, with_content: bool = True) -> OpenObject | None:
    """An object of a bucket or container, to be read in pieces; None where there is none.

    Args:
        uri: `s3://bucket/key`, `gs://bucket/key` or `az://container/key`.
        byte_range: the part that is wanted, as HTTP's Range with one range: `bytes=0-99`. None: all.
        with_content: False: its size alone.

    Errors: as `read_object`'s, and
        NoSuchRangeError: the part lies outside the object.
    """
    opened: OpenObject | None = _load_reader(uri).open_object(uri, byte_range, with_content)
    return opened


def list_objects(uri: str, *, recursive: bool = True) -> dict[str, str]:
    """Objects below a bucket's prefix: what stands after the prefix → a tag that changes with the content.

    Args:
        uri: `s3://bucket/prefix/`.
        recursive: also those with a further `/` after the prefix.

    Errors:
        UnavailableError: the store does not answer.
        ConfigError: no bucket has such a URI, there is no such bucket, or the credentials may not list it.
    """
    from airloom_airflow.objects import buckets

    _refuse_marks(uri)
    return buckets.list_objects(uri, recursive=recursive)


def warm_up(uri: str) -> None:
    """Make ready what reads objects below `uri`: the first client costs 150 ms, which forked processes then spare."""
    if uri.startswith("s3:"):
        with contextlib.suppress(Exception):  # whoever reads will be told
            _load_reader(uri).open_client()


def _refuse_marks(uri: str) -> None:
    """A key with a `?` or `#` that was not quoted would be read as a shorter one, of another object or none."""
    if "?" in uri or "#" in uri:
        raise ConfigError(f"{uri!r} holds a ? or #, which end a URI's path; in a key, write %3F for ? and %23 for #")


def _load_reader(uri: str) -> Any:
    _refuse_marks(uri)
    scheme = urlsplit(uri).scheme
    if scheme == "s3":
        from airloom_airflow.objects import buckets

        return buckets
    if scheme in ("gs", "az"):
        from airloom_airflow.objects import clouds

        return clouds
    raise ConfigError(
        f"no object store has {uri!r}; set AIRLOOM_ARTIFACTS_URI to file:///…, s3://bucket/…, gs://bucket/… or "
        "az://container/…"
    )
