"""Which names of executors a pipeline may give, by Airflow's configuration, and where it gives others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.airloom_airflow.dag_factory.test_dag_factory import build
from tests.unit.airloom_airflow.pipelines import FULL

from airloom.errors import SpecError
from airloom_airflow.dag_factory.executors import list_executors

KUBERNETES = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"


def configure(monkeypatch: pytest.MonkeyPatch, executors: str, **teams: str) -> None:
    """Airflow with these executors; `teams`: our bundle's, and that of the folder of DAG files."""
    ours = {"name": "a", "classpath": "airloom_airflow.bundles.PipelineDagBundle", "team_name": teams.get("ours")}
    theirs = {"name": "b", "classpath": "airflow.x.LocalDagBundle", "team_name": teams.get("theirs")}
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executors)
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", str(bool(teams)))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([ours, theirs]))


@pytest.mark.parametrize("name", ["LocalExecutor", "pods", "KubernetesExecutor", KUBERNETES, "own.made.Runner"])
def test_an_executor_goes_by_its_short_name_its_alias_its_class_and_its_path(monkeypatch, name):
    configure(monkeypatch, f"LocalExecutor, pods:{KUBERNETES},own.made.Runner")
    assert name in list_executors(bundled=True)
    assert name in list_executors(bundled=False)


def test_a_teams_executors_are_its_own(monkeypatch):
    configure(monkeypatch, "LocalExecutor;ml=pods:KubernetesExecutor;bi=CeleryExecutor", ours="ml", theirs="bi")
    assert set(list_executors(bundled=True).values()) == {"LocalExecutor", "pods"}
    assert set(list_executors(bundled=False).values()) == {"LocalExecutor", "CeleryExecutor"}


def test_teams_executors_are_nobodys_where_airflow_has_no_teams(monkeypatch):
    configure(monkeypatch, "LocalExecutor;ml=CeleryExecutor")
    assert set(list_executors(bundled=True).values()) == {"LocalExecutor"}


@pytest.mark.parametrize("place", ["default_args", "tasks"])
def test_an_executor_that_airflow_has_not_is_refused_with_its_place(pipelines: Path, monkeypatch, place):
    configure(monkeypatch, "LocalExecutor,pods:KubernetesExecutor")
    named = "{{executor: Celery}}" if place == "default_args" else "{{score: {{executor: Celery}}}}"
    with pytest.raises(SpecError) as caught:
        build(pipelines, f"{FULL}  airflow: {{{{{place}: {named}}}}}\n")
    (finding,) = caught.value.findings
    line = len(FULL.splitlines()) + 1
    assert (finding.line, finding.path.split(".")[2]) == (line, place)
    assert "given 'Celery', which this Airflow has not; it has LocalExecutor, pods" in finding.message
    assert "AIRFLOW__CORE__EXECUTOR" in finding.message


def test_a_name_in_defaults_is_placed_there(pipelines: Path, monkeypatch):
    configure(monkeypatch, "LocalExecutor")
    (pipelines / "defaults.yaml").write_text("spec:\n  airflow:\n    default_args: {executor: Celery}\n")
    with pytest.raises(SpecError, match=r"defaults\.yaml:3:30: spec\.airflow\.default_args\.executor"):
        build(pipelines)
