"""The Airflow side's unit tests run against a throw-away Airflow home."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.airloom_airflow import home


@pytest.fixture(scope="session")
def database() -> None:
    home.migrate_database()


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    folder = tmp_path / "pipelines"
    (folder / "ops").mkdir(parents=True)
    return folder
