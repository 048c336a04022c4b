"""What all combinations start from: the disk that every part gets a copy of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.executors.shared import ROOT

from airloom.demo.world import World

_OWN = Path(__file__).parent
_MONTHS = (1, 2, 3)
HELD = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: held, team: ops}
spec:
  cache: false
  retry_delay_seconds: 1
  data:
    sources:
      flowers:
        {type: package, package: sklearn, path: datasets/data/iris.csv, skip_rows: 1,
         columns: [sepal_length, sepal_width, petal_length, petal_width, species]}
  train: {target: species, entrypoint: "held_training:fit"}
"""
"""Three stages: ingest, train (which waits for the test), register."""


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flight pipeline and three months of flights, the held pipeline and its code, DAGs written by hand."""
    folder = tmp_path_factory.mktemp("disk")
    pipelines = folder / "pipelines"
    (pipelines / "ops").mkdir(parents=True)
    for file in ("defaults.yaml", "ops/flight_delay.yaml"):
        shutil.copy(ROOT / "dags" / "pipelines" / file, pipelines / file)
    (pipelines / "ops" / "held.yaml").write_text(HELD)
    shutil.copy(_OWN / "held_training.py", folder)
    shutil.copytree(_OWN / "dag_files", folder / "dag_files", ignore=shutil.ignore_patterns("__pycache__"))
    world = World(folder / "build" / "landing" / "flights", tmp_path_factory.mktemp("world"))
    for month in _MONTHS:
        world.land(month)
    return folder
