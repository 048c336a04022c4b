"""A DAG file builds all of its pipeline's DAGs for the processor, and one for a task."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.definitions._internal.contextmanager import DagContext
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.errors import SpecError
from airloom_airflow.bundles.pipeline_file import build_dags


def test_a_task_builds_its_own_dag_alone(pipelines: Path, in_task):
    path = write_pipeline(pipelines, "whole", text=FULL)
    in_task("ops__whole__monitor")
    assert list(build_dags(path, pipelines)) == ["ops__whole__monitor"]
    assert not DagContext.autoregistered_dags


def test_a_task_of_a_dag_that_is_gone_finds_none(pipelines: Path, in_task):
    path = write_pipeline(pipelines, "small")
    in_task("ops__small__monitor")
    assert build_dags(path, pipelines) == {}


def test_a_file_that_went_away_is_told_by_name(pipelines: Path):
    with pytest.raises(SpecError, match=r"gone\.yaml"):
        build_dags(pipelines / "ops" / "gone.yaml", pipelines)
