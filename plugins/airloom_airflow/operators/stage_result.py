"""What a stage answered: its result document, read back from the object store. Operators and sensors call it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airloom.errors import ConfigError, ProtocolError, UnavailableError
from airloom.protocol.result import StageResult

_SETTINGS = (
    "Set AIRLOOM_ARTIFACTS_URI, AWS_ENDPOINT_URL, and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a workload "
    "identity, for Airflow too."
)


def load_result(uri: str, digest: str | None = None) -> StageResult:
    """Read a result document, whole or not at all.

    Args:
        uri: `file:///…` or `s3://bucket/key`.
        digest: `sha256:<hex>` that the bytes must have, where it is known.

    Errors:
        UnavailableError: the document is not there, or the store does not answer.
        ConfigError: there is no such bucket, or the credentials may not read it.
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
    if parts.scheme == "s3":
        return _read_bucket(uri, parts.netloc, unquote(parts.path.removeprefix("/")))
    raise ConfigError(f"no object store has {uri!r}; set AIRLOOM_ARTIFACTS_URI to file:///… or s3://bucket/…")


def _read_bucket(uri: str, bucket: str, key: str) -> bytes:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

    config = Config(
        connect_timeout=2,
        read_timeout=20,
        retries={"mode": "standard", "max_attempts": 3},
        response_checksum_validation="when_required",  # stores other than AWS do not all know its newer checksums
    )
    try:
        client = boto3.session.Session().client("s3", config=config)
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise UnavailableError(f"the object store does not answer for the result {uri}: {error}") from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchKey" or status >= 500 or status == 429 or code == "RequestTimeout":
            raise UnavailableError(
                f"the result {uri} cannot be read: {error}. See the log of the stage that had to write it."
            ) from error
        raise ConfigError(f"the result {uri} cannot be read: {error}. {_SETTINGS}") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"the result {uri} cannot be read: {error}. {_SETTINGS}") from error
