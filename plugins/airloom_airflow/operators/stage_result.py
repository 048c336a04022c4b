"""What a stage answered: its result document, read back from the object store. Operators and sensors call it."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from airloom.errors import ProtocolError, UnavailableError
from airloom.protocol.result import StageResult
from airloom_airflow.objects import read_object

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_PAUSE_SECONDS = 2.0


class MissingResultError(UnavailableError):
    """The store answers, and has no such result."""


class UnreadResultError(UnavailableError):
    """The store, or the API server, was away for longer than it may be; the stage has ended, and what it answered can
    be read later."""


def load_result(uri: str, digest: str | None = None) -> StageResult:
    """Read a result document, whole or not at all.

    Args:
        uri: `file:///…`, `s3://bucket/key`, `gs://bucket/key` or `az://container/key`.
        digest: `sha256:<hex>` that the bytes must have, where it is known.

    Errors:
        MissingResultError: the document is not there.
        UnavailableError: the store does not answer.
        ConfigError: there is no such bucket, or the credentials may not read it.
        ProtocolError: it is truncated, of another version, or not what its digest says.
    """
    content = read_object(uri)
    if content is None:
        raise MissingResultError(f"there is no result {uri}. See the log of the stage that had to write it.")
    if digest is not None and digest.removeprefix("sha256:") != hashlib.sha256(content).hexdigest():
        raise ProtocolError(f"the result {uri} does not have the digest {digest}; something else was written there.")
    return StageResult.from_json(content)


def wait_for_result(uri: str, digest: str, log: Logger, seconds: float) -> StageResult:
    """`load_result` of a stage that has ended: a store that is away for a while costs no finished work.

    Args:
        seconds: how long the store may be away.

    Errors: as `load_result`, but
        UnreadResultError: the store does not answer for so long.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return load_result(uri, digest)
        except MissingResultError:
            raise
        except UnavailableError as error:
            if time.monotonic() > deadline:
                raise UnreadResultError(
                    f"the stage has ended, and its result could not be read for {seconds:g} s (AIRLOOM_STORE_SECONDS): "
                    f"{error}"
                ) from error
            log.warning("The stage has ended, and its result cannot be read now: %s", error)
            time.sleep(_PAUSE_SECONDS)
