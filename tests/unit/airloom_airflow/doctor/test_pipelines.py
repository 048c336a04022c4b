"""Seeded mistakes in what pipeline files ask of Airflow: pools, executors, connections and variables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from tests.unit.airloom_airflow.pipelines import OF_P

from airloom.settings import Settings, load_settings
from airloom_airflow.doctor.pipelines import check_executors, check_pools, check_secrets
from airloom_airflow.speedups.database import look_into_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "pipelines" / "ops").mkdir(parents=True)
    return load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})


def write(settings: Settings, section: str) -> None:
    (settings.pipelines / "ops" / "p.yaml").write_text(f"{OF_P}  {section}\n")


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


CLUSTER = """\
apiVersion: airloom.io/v1
kind: Cluster
spec:
  images: {cpu: x}
  secrets: [of-kubernetes, {name: HF_TOKEN, variable: hf}]
  teams:
    ops: {secrets: [{name: PGPASSWORD, conn_id: warehouse}]}
    of_no_pipeline: {secrets: [{name: OTHER, variable: other}]}
"""


def with_cluster(settings: Settings, text: str = CLUSTER) -> Settings:
    write(settings, "retries: 1")
    file = settings.home / "cluster.yaml"
    file.write_text(text)
    return replace(settings, cluster_file=file)


def test_secrets_that_airflow_has_are_right_and_what_they_are_is_not_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_HF", "the-token")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://ops:the-password@db")
    found = list(check_secrets(with_cluster(settings), started=True))
    assert [(each.verdict, each.message) for each in found] == [
        ("right", "Airflow has Airflow variable 'hf'"),
        ("right", "Airflow has password of Airflow connection 'warehouse'"),
    ]


def test_a_secret_that_airflow_does_not_have_is_told_by_its_variable(settings: Settings) -> None:
    token, password = check_secrets(with_cluster(settings), started=True)
    assert (token.verdict, password.verdict) == ("wrong", "wrong")
    assert token.where.endswith("cluster.yaml: HF_TOKEN")
    assert "Airflow variable 'hf', for the variable HF_TOKEN, cannot be had" in token.message


def test_before_airflows_first_start_its_database_may_have_it(settings: Settings) -> None:
    assert {each.verdict for each in check_secrets(with_cluster(settings), started=False)} == {"not checked"}


def test_a_cluster_file_that_is_none_is_told_where_nobody_else_would(settings: Settings) -> None:
    (found,) = check_secrets(with_cluster(settings, CLUSTER.replace("hf}", "hf, field: uri}")), started=True)
    assert (found.check, found.verdict) == ("cluster file", "wrong")
    assert "a variable has none" in found.message


@pytest.mark.usefixtures("database")
def test_the_doctor_sees_what_airflows_database_has(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    with create_session() as session:
        session.merge(Variable("hf", "the-token"))
    token, _ = check_secrets(with_cluster(settings), started=True)
    assert token.verdict == "wrong"
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # so that it is put back afterwards
    look_into_database()
    token, _ = check_secrets(with_cluster(settings), started=True)
    Variable.delete("hf")
    assert token.verdict == "right"
