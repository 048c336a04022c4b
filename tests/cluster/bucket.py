"""A bucket that the tests, Airflow and pods reach: in MinIO beside a cluster of our own, or in somebody's S3."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import httpx
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.servers import built_minio

_MINIO = f"http://{network.SERVER_ADDRESS}:9000"


@dataclass(frozen=True)
class Bucket:
    """A bucket, made where it is missing.

    Args:
        endpoint: of S3, the same for this machine and for pods.
        keys: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    """

    endpoint: str
    keys: Mapping[str, str]
    name: str = "airloom"

    def __post_init__(self) -> None:
        if self.name not in [bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]]:
            self._client.create_bucket(Bucket=self.name)

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which it is found."""
        return {**self.keys, "AWS_ENDPOINT_URL": self.endpoint}

    def open_to_all(self) -> None:
        """Let anybody read and write: fake stages have no client to sign with."""
        rules = {"Effect": "Allow", "Principal": {"AWS": ["*"]}}
        actions = {
            f"arn:aws:s3:::{self.name}": ["s3:ListBucket"],  # or what is not there would be forbidden
            f"arn:aws:s3:::{self.name}/*": ["s3:GetObject", "s3:PutObject"],
        }
        statements = [{**rules, "Action": action, "Resource": [thing]} for thing, action in actions.items()]
        policy = {"Version": "2012-10-17", "Statement": statements}
        self._client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))

    def list(self, prefix: str) -> list[str]:
        """Keys of objects."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def build_gate(self) -> Gate:
        """One that nobody has opened."""
        return Gate(self, f"gates/{uuid4()}")

    def write(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    @property
    def _client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=os.environ.get("AWS_REGION", "us-east-1"),
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """An object for whose coming fake stages wait."""

    bucket: Bucket
    key: str

    @property
    def uri(self) -> str:
        return f"{self.bucket.uri}/{self.key}"

    def open(self) -> None:
        self.bucket.write(self.key, b"")


def start_minio(cluster: LocalCluster, keys: Mapping[str, str]) -> Bucket:
    """MinIO on the bridge that pods reach, with a bucket; its data goes with the cluster.

    Args:
        keys: the administrator's.
    """
    program = built_minio()
    cluster.processes.stop("minio")
    environ = {"MINIO_ROOT_USER": keys["AWS_ACCESS_KEY_ID"], "MINIO_ROOT_PASSWORD": keys["AWS_SECRET_ACCESS_KEY"],
               "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"}  # fmt: skip
    address = _MINIO.removeprefix("http://")
    cluster.processes.start("minio", [program, "server", "--address", address, cluster.state / "minio"], environ)

    def answers() -> bool:
        cluster.processes.require("minio")
        try:
            return httpx.get(f"{_MINIO}/minio/health/live", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    cluster.wait(answers, "MinIO answers", 30)
    return Bucket(_MINIO, keys)
