"""One embedded runtime for all of these tests, on free ports, in a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airloom.embedded.airflow_api import AirflowApi
from airloom.embedded.runtime import Runtime
from airloom.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
IRIS = ROOT / "dags" / "pipelines" / "examples" / "iris.yaml"
LIVING = """\
  gates: {thresholds: {accuracy_score: {min: 0.8}}}
  promote: {auto: true}
  deploy: {target: gateway}
"""


@dataclass(frozen=True)
class Installation:
    settings: Settings
    runtime: Runtime
    api: AirflowApi


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    pipelines = folder / "pipelines"
    (pipelines / "examples").mkdir(parents=True)
    shutil.copy(ROOT / "dags" / "pipelines" / "defaults.yaml", pipelines)
    (pipelines / "examples" / "iris.yaml").write_text(IRIS.read_text() + LIVING)
    dag_files = folder / "dag-files"
    dag_files.mkdir()
    shutil.copy(Path(__file__).with_name("deferring_dag.py"), dag_files)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in {
            "AIRLOOM_HOME": folder / "home",
            "AIRLOOM_DATA_ROOT": folder,
            "AIRLOOM_PIPELINES": pipelines,
            "AIRLOOM_DAG_FILES": dag_files,
            "AIRLOOM_AIRFLOW_PORT": 0,
            "AIRLOOM_MLFLOW_PORT": 0,
            "AIRLOOM_GATEWAY_PORT": 0,
            "OMP_NUM_THREADS": 1,
        }.items():
            monkeypatch.setenv(name, str(value))
        for name in ("AIRLOOM_ARTIFACTS_URI", "AIRLOOM_TRACKING_URI", "AIRLOOM_ENVIRONMENT", "AIRLOOM_STAGE_HOST"):
            monkeypatch.delenv(name, raising=False)
        settings = load_settings(dict(os.environ))
        with Runtime(settings) as runtime:
            yield Installation(settings, runtime, runtime.api())
