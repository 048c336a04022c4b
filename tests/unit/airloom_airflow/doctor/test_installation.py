"""Seeded mistakes of Airflow's own environment."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from airloom_airflow.doctor import installation
from airloom_airflow.doctor.installation import check_requirements, check_stage_python
from airloom_airflow.speedups import database


def examine(folder: Path, database: str, bundles: list[dict[str, object]]) -> dict[str, dict[str, str]]:
    """What the Airflow side tells of an Airflow of somebody's own, by check."""
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRLOOM_HOME": str(folder / "home"),
        "AIRLOOM_STAGE_PYTHON": sys.executable,
        "AIRLOOM_RUNTIME": "subprocess",
    }
    command = [sys.executable, "-m", "airloom_airflow.doctor"]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=folder).stdout
    return {found["check"]: found for found in json.loads(told.splitlines()[-1])["diagnoses"]}


def test_a_database_that_was_not_migrated_and_bundles_without_ours_are_told(tmp_path: Path) -> None:
    other = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}}
    found = examine(tmp_path, f"sqlite:///{tmp_path}/airflow.db", [other])
    assert (found["database"]["verdict"], found["database"]["remedy"]) == ("wrong", "Run `airflow db migrate`.")
    assert found["DAG bundles"]["verdict"] == "not checked"
    assert "airloom_airflow.bundles.PipelineDagBundle" in found["DAG bundles"]["remedy"]
    assert found["stages"]["verdict"] == found["Airflow"]["verdict"] == "right"


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    ours = {"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle", "kwargs": {}}
    found = examine(tmp_path, f"sqlite:////{tmp_path}/none/airflow.db", [ours])
    assert found["database"]["verdict"] == "wrong"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in found["database"]["remedy"]
    assert found["DAG bundles"]["verdict"] == "right"


def test_a_provider_that_is_missing_is_told_with_its_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.metadata.version

    def version(name: str) -> str:
        if name == "apache-airflow-providers-cncf-kubernetes":
            raise importlib.metadata.PackageNotFoundError(name)
        return "9.9.9" if name == "boto3" else "0.1" if name == "apache-airflow-providers-standard" else find(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {diagnosis.where: diagnosis for diagnosis in check_requirements()}
    assert set(found) == {"apache-airflow-providers-cncf-kubernetes", "apache-airflow-providers-standard"}
    kubernetes = found["apache-airflow-providers-cncf-kubernetes"]
    assert "is not installed" in kubernetes.message
    assert kubernetes.remedy.startswith("pip install 'apache-airflow-providers-cncf-kubernetes")
    assert "is 0.1;" in found["apache-airflow-providers-standard"].message


@pytest.mark.parametrize(
    ("python", "words"),
    [(None, "it is not set"), ("/nowhere/python", "is not there"), ("/usr/bin/python3", "cannot import airloom")],
)
def test_a_stages_python_that_will_not_do_is_told(python: str | None, words: str) -> None:
    found = check_stage_python(python)
    assert found.verdict == "wrong"
    assert words in found.message


@pytest.mark.parametrize(
    ("active", "dags", "listed", "verdicts"),
    [
        (True, ["billing"], [], ["wrong"]),
        (False, ["billing"], [], ["not checked"]),
        (False, [], [], []),
        (True, ["billing"], ["dags-folder"], []),
    ],
)
def test_a_bundle_that_the_list_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch, active: bool, dags: list[str], listed: list[str], verdicts: list[str]
) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    database.DagBundleModel.metadata.create_all(
        engine, [database.DagBundleModel.__table__, database.DagModel.__table__]
    )
    monkeypatch.setattr(database, "create_session", lambda: Session(engine))
    with Session(engine) as session:
        session.execute(insert(database.DagBundleModel).values(name="dags-folder", active=active))
        for dag_id in dags:
            session.add(database.DagModel(dag_id=dag_id, bundle_name="dags-folder"))
        session.commit()
    monkeypatch.setattr(installation, "list_bundles", lambda *, ours: [] if ours else [{"name": n} for n in listed])
    found = list(installation.check_lost_bundles())
    assert [each.verdict for each in found] == verdicts
    assert all("dags-folder" in each.message for each in found)
