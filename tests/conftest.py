"""What tests of both environments share: one server of a kind a session, started by the first test that asks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from tests.azure_emulator import AzureEmulator, require_program
from tests.s3_server import S3Server, require_packages


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    require_packages()
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, and the environment by which it is found."""
    for name, value in s3_server.environ().items():
        monkeypatch.setenv(name, value)
    name = f"airloom-{uuid.uuid4().hex[:12]}"
    s3_server.client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def azure_emulator() -> Iterator[AzureEmulator]:
    require_program()
    with AzureEmulator() as server:
        yield server


@pytest.fixture
def container(azure_emulator: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A container of the test's own, and the environment by which it is found."""
    for name, value in azure_emulator.environ().items():
        monkeypatch.setenv(name, value)
    name = f"airloom-{uuid.uuid4().hex[:12]}"
    azure_emulator.make_container(name)
    return name
