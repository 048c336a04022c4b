"""What a stage answered: its result document, read back from the object store. Operators and sensors call it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airloom.errors import ProtocolError, UnavailableError
from airloom.protocol.result import StageResult


def load_result(uri: str, digest: str | None = None) -> StageResult:
    """Read a result document, whole or not at all.

    Args:
        uri: `file:///…`, or a bucket's for which an Airflow provider is installed.
        digest: `sha256:<hex>` that the bytes must have, where it is known.

    Errors:
        UnavailableError: the document is not there, or the store does not answer.
        ProtocolError: it is truncated, of another version, or not what its digest says.
    """
    try:
        content = _read(uri)
    except OSError as error:
        raise UnavailableError(
            f"the result {uri} cannot be read: {error}. See the log of the stage that had to write it."
        ) from error
    if digest is not None and digest.removeprefix("sha256:") != hashlib.sha256(content).hexdigest():
        raise ProtocolError(f"the result {uri} does not have the digest {digest}; something else was written there.")
    return StageResult.from_json(content)


def _read(uri: str) -> bytes:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).read_bytes()
    from airflow.sdk import ObjectStoragePath

    return bytes(ObjectStoragePath(uri).read_bytes())
