"""What docs/bundles.md shows is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.unit.airloom_airflow.pipelines import write_pipeline

PAGE = (Path(__file__).parents[4] / "docs" / "bundles.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
def test_the_bundles_configurations_are_ones_that_airflow_takes(database, block, monkeypatch, storage, tmp_path):
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(json.loads(block)))
    monkeypatch.setenv("AIRFLOW_CONN_PIPELINES", json.dumps({"conn_type": "git", "host": "https://git.example/models"}))
    storage(tmp_path)
    assert [bundle.name for bundle in DagBundlesManager().get_all_dag_bundles()] == ["dags-folder", "airloom"]


def test_the_loader_file_works(pipelines, tmp_path):
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    write_pipeline(pipelines, "one")
    namespace: dict[str, object] = {}
    exec(block.replace("/usr/local/airflow/dags/pipelines", str(pipelines)), namespace)
    assert "ops__one__train" in namespace
    assert {b"dag", b"airflow"} <= set(re.findall(rb"dag|airflow", block.lower().encode()))
