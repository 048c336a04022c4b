"""LocalExecutor on Postgres: two schedulers and two triggerers, every part on a disk of its own, objects in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.executors.flights import live_through
from tests.executors.installation import Installation, run_installation
from tests.executors.shared import run_shared
from tests.s3_server import S3Server

_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "scheduler-2", "triggerer-1", "triggerer-2")


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, disk: Path
) -> Iterator[Installation]:
    with (
        run_shared(tmp_path_factory.mktemp("shared"), s3_server, "bucket", broker=False) as shared,
        run_installation(tmp_path_factory.mktemp("airflow"), shared, disk, _PARTS) as made,
    ):
        yield made


def test_the_flight_pipeline_becomes_a_served_champion(installation: Installation) -> None:
    parts = live_through(installation)
    assert set(parts.values()) <= {"scheduler-1", "scheduler-2"}, parts
