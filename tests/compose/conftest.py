"""The engine, its images, and one installation that the tests of a life share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compose.engine import Engine, run_engine
from tests.images.builder import build_image
from tests.standins.builder import STANDINS, build_standin


@pytest.fixture(scope="session")
def images() -> dict[str, Path]:
    """Name in docker-compose.yaml's variables → archive."""
    own = {"airflow": "airflow", "stage": "stage-cpu", "serve": "serve"}
    return {
        **{name: build_image(image) for name, image in own.items()},
        **{name: build_standin(name) for name in STANDINS},
    }


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="docker-") as folder, run_engine(Path(folder)) as engine:
        yield engine
