"""Seeded mistakes in what pipeline files ask of Airflow: pools and executors."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.settings import Settings, load_settings
from airloom_airflow.doctor.pipelines import check_executors, check_pools

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: p}
spec:
  data: {sources: {rows: {type: csv, path: rows.csv}}}
  train: {target: y, estimator: sklearn.linear_model.Ridge}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "pipelines" / "ops").mkdir(parents=True)
    return load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})


def write(settings: Settings, section: str) -> None:
    (settings.pipelines / "ops" / "p.yaml").write_text(f"{PIPELINE}  {section}\n")


def test_a_pool_that_airflow_lacks_is_told_where_it_is_named(settings: Settings) -> None:
    write(settings, "airflow: {default_args: {pool: models}, tasks: {train: {pool: gpus}}}")
    found = {diagnosis.where.rpartition(": ")[2]: diagnosis for diagnosis in check_pools(settings, {"models"})}
    assert found["spec.airflow.default_args.pool"].verdict == "right"
    wrong = found["spec.airflow.tasks.train.pool"]
    assert (wrong.verdict, wrong.message) == ("wrong", "there is no pool gpus; there are: models")
    assert wrong.remedy.startswith("airflow pools set gpus 8")


def test_an_executor_that_airflow_lacks_is_told_where_it_is_named(settings: Settings) -> None:
    write(settings, "airflow: {default_args: {executor: LocalExecutor}, tasks: {train: {executor: CeleryExecutor}}}")
    (found,) = check_executors(settings)
    assert (found.check, found.verdict, found.where) == (
        "executors", "wrong", f"{settings.pipelines}/ops/p.yaml:7:80"
    )  # fmt: skip
    assert found.message.startswith("spec.airflow.tasks.train.executor: given 'CeleryExecutor'")
    write(settings, "airflow: {default_args: {executor: LocalExecutor}}")
    assert [found.verdict for found in check_executors(settings)] == ["right"]
