"""Whole DAG runs against a throw-away Airflow home, the same that the Airflow side's unit tests use."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.unit.airloom_airflow import fake_stage, home
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

EXAMPLES = Path(__file__).parent / "examples"


def instruct(dag: Any, **instructions: Any) -> None:
    """Say what the fake stages of a DAG's pipeline do, from its next run on."""
    team, name, _ = dag.dag_id.split("__")
    place = Path(urlsplit(os.environ["AIRLOOM_ARTIFACTS_URI"]).path) / team / name / "instructions.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(instructions))


@pytest.fixture(scope="session")
def database() -> None:
    home.migrate_database()


@pytest.fixture
def fake_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages are fake ones; their artifacts lie in `artifacts` of the test's folder."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable} -S\n{Path(fake_stage.__file__).read_text()}")
    python.chmod(0o755)
    monkeypatch.setenv("AIRLOOM_STAGE_PYTHON", str(python))
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", (tmp_path / "artifacts").as_uri())


@pytest.fixture
def load_examples(database: None, fake_stages: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict]:
    """Makes the DAG files of `examples`, of a pipeline file, known to Airflow; returns their DAGs by id."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    def load(pipeline: Path) -> dict:
        monkeypatch.setenv("EXAMPLE_PIPELINE", str(pipeline))
        bag = DagBag(dag_folder=str(EXAMPLES), bundle_path=EXAMPLES, bundle_name="airloom")
        assert bag.import_errors == {}
        DagBundlesManager().sync_bundles_to_db()
        sync_bag_to_db(bag, "airloom", bundle_version=None)
        return bag.dags

    return load


@pytest.fixture
def dags(database: None, fake_stages: None) -> Callable[[str, str], dict]:
    """Takes a pipeline up as the DAG processor does; returns its DAGs by family."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    def take_up(name: str, text: str = FULL) -> dict:
        write_pipeline(home.HOME / "pipelines", name, text=text)
        DagBundlesManager().sync_bundles_to_db()
        [bundle] = DagBundlesManager().get_all_dag_bundles()
        bundle.initialize()
        bundle.refresh()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        assert bag.import_errors == {}
        sync_bag_to_db(bag, bundle.name, bundle_version=None)
        prefix = f"ops__{name}__"
        return {dag_id.removeprefix(prefix): dag for dag_id, dag in bag.dags.items() if dag_id.startswith(prefix)}

    return take_up
