"""What a stage answered: its result document, read back from the object store. Operators and sensors call it."""

from __future__ import annotations

import hashlib

from airloom.errors import ProtocolError, UnavailableError
from airloom.protocol.result import StageResult
from airloom_airflow.objects import read_object


def load_result(uri: str, digest: str | None = None) -> StageResult:
    """Read a result document, whole or not at all.

    Args:
        uri: `file:///…`, `s3://bucket/key`, `gs://bucket/key` or `az://container/key`.
        digest: `sha256:<hex>` that the bytes must have, where it is known.

    Errors:
        UnavailableError: the document is not there, or the store does not answer.
        ConfigError: there is no such bucket, or the credentials may not read it.
        ProtocolError: it is truncated, of another version, or not what its digest says.
    """
    content = read_object(uri)
    if content is None:
        raise UnavailableError(f"there is no result {uri}. See the log of the stage that had to write it.")
    if digest is not None and digest.removeprefix("sha256:") != hashlib.sha256(content).hexdigest():
        raise ProtocolError(f"the result {uri} does not have the digest {digest}; something else was written there.")
    return StageResult.from_json(content)
