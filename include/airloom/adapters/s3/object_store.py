"""`ObjectStore` over a bucket. A put is atomic in S3; what must be the only one is put on a condition."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from airloom.errors import ConfigError, MissingExtraError, UnavailableError
from airloom.protocol import Artifact
from airloom.snapshots import SnapshotFolders

try:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise MissingExtraError("boto3", "s3") from error

from airloom.adapters.s3.failures import status_of, translated

_CHUNK_BYTES = 1 << 20
_PART_BYTES = 8 << 20
_MOST_PARTS = 9_000
"""S3 takes 10,000."""
_TRIES = 5
"""Of a conditional put that another one crosses."""
_WRITER = "airloom-writer"


class S3ObjectStore:
    """See `airloom.ports.object_store.ObjectStore`. Threads may share it.

    Errors:
        ConfigError: boto3 cannot be set up from the environment.
    """

    def __init__(self) -> None:
        self._client = _connect()
        self._local: dict[str, tuple[str, Path]] = {}
        self._snapshots = SnapshotFolders(self, make_folder)

    def read(self, uri: str) -> bytes:
        bucket, key = _split(uri)
        with self._translated(uri):
            content: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        with self._translated(uri):
            answer = self._get_unless(uri, etag)
            return (answer["Body"].read(), answer["ETag"]) if answer else None

    def write(self, uri: str, content: bytes) -> Artifact:
        bucket, key = _split(uri)
        with self._translated(uri):
            self._client.put_object(Bucket=bucket, Key=key, Body=content)
        return Artifact(uri=uri, digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        bucket, key = _split(uri)
        writer = uuid.uuid4().hex
        # AWS and MinIO take the ETag with its quotes and without, Ceph 16 without only
        condition = {"IfMatch": etag.strip('"')} if etag else {"IfNoneMatch": "*"}
        with self._translated(uri):
            for _ in range(_TRIES):
                try:
                    answer = self._client.put_object(
                        Bucket=bucket, Key=key, Body=content, Metadata={_WRITER: writer}, **condition
                    )
                    return str(answer["ETag"])
                except ClientError as error:
                    if status_of(error) == 412 or (etag and status_of(error) == 404):
                        return self._own(bucket, key, writer, error)
                    if status_of(error) != 409:  # AWS: another put is on its way, ask again
                        raise
        raise UnavailableError(f"{uri} is being written by others; nothing was written. Try again.")

    def upload(self, source: Path, uri: str) -> Artifact:
        bucket, key = _split(uri)
        size = source.stat().st_size
        config = TransferConfig(
            multipart_threshold=_PART_BYTES, multipart_chunksize=max(_PART_BYTES, size // _MOST_PARTS + 1)
        )
        with source.open("rb") as file, self._translated(uri):
            reader = _DigestingReader(file)
            self._client.upload_fileobj(reader, bucket, key, Config=config)
        return Artifact(uri=uri, digest=f"sha256:{reader.digest.hexdigest()}", size=reader.size)

    def upload_tree(self, source: Path, uri: str) -> str:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            self.upload(path, f"{uri}/{quote(path.relative_to(source).as_posix())}")
        return uri

    def local(self, uri: str) -> Path:
        etag, path = self._local.get(uri, (None, None))
        with self._translated(uri):
            answer = self._get_unless(uri, etag)
        if path is None or answer is not None:
            path = make_folder() / PurePosixPath(_split(uri)[1]).name
            self._save(answer, uri, path)
            self._local[uri] = (answer["ETag"], path)
        return path

    def download(self, uri: str, target: Path) -> None:
        """The object as that file; a part of it where this fails."""
        with self._translated(uri):
            answer = self._get_unless(uri, None)
        self._save(answer, uri, target)

    def folder(self, prefix: str) -> Path:
        _split(prefix)
        return self._snapshots.open(prefix)

    def publish_folder(self, prefix: str) -> None:
        self._snapshots.publish(prefix)

    def exists(self, uri: str) -> bool:
        bucket, key = _split(uri)
        with self._translated(uri):  # a HEAD could not tell a missing bucket from a missing object
            found = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return any(entry["Key"] == key for entry in found)

    def list(self, prefix: str) -> Iterable[str]:
        bucket, key = _split(prefix, may_be_whole=True)
        with self._translated(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{key}/" if key else ""
            )
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(f"s3://{bucket}/{quote(found)}" for found in keys)

    def delete(self, uri: str) -> None:
        bucket, key = _split(uri)
        with self._translated(uri):
            self._client.delete_object(Bucket=bucket, Key=key)

    def _translated(self, uri: str) -> Any:
        return translated(uri, self._client.meta.endpoint_url)

    def _get_unless(self, uri: str, etag: str | None) -> Any:
        bucket, key = _split(uri)
        try:
            return self._client.get_object(Bucket=bucket, Key=key, **({"IfNoneMatch": etag} if etag else {}))
        except ClientError as error:
            if status_of(error) == 304:
                return None
            raise

    def _save(self, answer: Any, uri: str, target: Path) -> None:
        try:
            with self._translated(uri), target.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
                    file.write(chunk)
        except OSError as error:
            raise UnavailableError(f"a local copy of {uri} cannot be written: {error}") from error

    def _own(self, bucket: str, key: str, writer: str, error: ClientError) -> str | None:
        """The ETag where an earlier try of the same put, whose answer was lost, is what is there."""
        if error.response["ResponseMetadata"].get("RetryAttempts", 0):
            found = self._client.head_object(Bucket=bucket, Key=key)
            if found["Metadata"].get(_WRITER) == writer:
                return str(found["ETag"])
        return None


class _DigestingReader:
    """A file as boto3 reads it once, from its start to its end; it must not be able to go back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        self.size += len(content)
        return content


def make_folder() -> Path:
    """A new local folder; it goes away with the process."""
    return Path(tempfile.mkdtemp(dir=_find_cache()))


@cache
def _find_cache() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="airloom-s3-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _connect() -> Any:
    config = Config(
        connect_timeout=2,
        read_timeout=20,
        retries={"mode": "standard", "max_attempts": 3},
        # stores other than AWS do not all know its newer checksums; the signature covers the body
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.session.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        asked = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        raise ConfigError(f"the object store {asked} cannot be used: {error}. See the AWS_… variables.") from error


def _split(uri: str, may_be_whole: bool = False) -> tuple[str, str]:
    """Bucket and key."""
    parts = urlsplit(uri)
    key = unquote(parts.path.removeprefix("/"))
    segments = key.split("/") if key else []
    odd = any(segment in ("", ".", "..") for segment in segments) or not (key or may_be_whole)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or odd:
        raise ConfigError(f"{uri!r} is no s3://bucket/key URI, the only kind that a bucket store has")
    return parts.netloc, key
