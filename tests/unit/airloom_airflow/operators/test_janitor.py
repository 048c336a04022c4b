"""Which pods the janitor takes away."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.kubernetes_api import KubernetesApi
from tests.unit.airloom_airflow.triggers.pods import ended, put_pod, turned_out

from airloom.errors import ConfigError, UnavailableError
from airloom.settings import load_settings
from airloom.spec.cluster import Cluster, Images
from airloom.spec.team import Team
from airloom_airflow.dag_factory.janitor import build_janitor_dag
from airloom_airflow.operators import janitor as janitor_module
from airloom_airflow.operators import pod_client
from airloom_airflow.operators.janitor import JanitorOperator, StagePod, find_orphans, list_teams

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def pod(minutes: float, *, ended: float | None = None, kept: bool = False) -> StagePod:
    """Made and ended so many minutes ago."""
    created, end = (NOW - timedelta(minutes=each) for each in (minutes, minutes if ended is None else ended))
    return StagePod("p", "airloom-ops", "u", "ops__x__train", "manual", ("ingest", "train"), created, end, kept)


@pytest.mark.parametrize(
    ("pod", "states", "goes"),
    [
        (pod(60), {"ingest": "success", "train": "failed"}, True),
        (pod(60), {}, False),
        (pod(60 * 25), {}, True),
        (pod(60), {"ingest": "success", "train": "deferred"}, False),
        (pod(60), {"ingest": "success", "train": None}, False),
        (pod(60), {"ingest": "up_for_retry"}, False),
        (pod(5), {"ingest": "failed", "train": "failed"}, False),
        (pod(60, kept=True), {"ingest": "failed"}, False),
        (pod(60 * 25, kept=True), {"ingest": "failed"}, True),
        (pod(60 * 47, ended=60 * 23, kept=True), {"ingest": "failed"}, False),
    ],
)
def test_a_pod_goes_when_nobody_waits_for_it(pod: StagePod, states: dict[str, str | None], goes: bool) -> None:
    assert bool(list(find_orphans([pod], lambda _: states, NOW))) is goes


def test_teams_are_those_of_the_folder_and_of_the_cluster_file(tmp_path: Path) -> None:
    cluster = Cluster(images=Images(cpu="x"), teams={"research": Team()})
    settings = load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})
    assert list_teams(settings, cluster) == ["research"]
    (tmp_path / "pipelines" / "ops").mkdir(parents=True)
    assert list_teams(settings, cluster) == ["ops", "research"]


def test_a_janitor_that_knows_no_team_does_not_call_everything_clean(tmp_path: Path) -> None:
    settings = load_settings({"AIRLOOM_HOME": str(tmp_path), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})
    with pytest.raises(ConfigError, match="knows no team"):
        list_teams(settings, Cluster(images=Images(cpu="x")))


@pytest.mark.parametrize(
    ("status", "goes"),
    [
        (ended(75, seconds_ago=3600 * 23), False),
        (ended(75, seconds_ago=3600 * 25), True),
        ({"phase": "Failed", "reason": "Evicted", "conditions": [turned_out(3600 * 23)]}, False),
        ({"phase": "Failed", "reason": "Evicted", "conditions": [turned_out(3600 * 25)]}, True),
        ({"phase": "Failed"}, True),
    ],
    ids=["ended 23 h ago", "ended 25 h ago", "turned out 23 h ago", "turned out 25 h ago", "nobody knows when"],
)
def test_a_kept_pods_day_begins_at_its_end(api: KubernetesApi, janitor: Janitor, status: Any, goes: bool) -> None:
    made = (datetime.now(UTC) - timedelta(hours=48)).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"airloom.io/kept": "true", "airloom.io/installation": "here"}
    put_pod(api, metadata={"creationTimestamp": made}, labels=labels, status=status)
    assert janitor.clean() == (["train-1"] if goes else [])
    assert api.names == ([] if goes else ["train-1"])


class Janitor:
    """Of an installation `here`, on whose cluster the teams' namespaces are called as they are."""

    def __init__(self, kubeconfig: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = folder / "cluster.yaml"
        self.spec: dict[str, Any] = {"connection": {"kubeconfig": str(kubeconfig)}, "namespace": "{team}"}
        monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(self.file))
        monkeypatch.setenv("AIRLOOM_INSTALLATION", "here")
        monkeypatch.setenv("AIRLOOM_PIPELINES", str(folder / "nowhere"))
        monkeypatch.setattr(janitor_module, "_ask_airflow", lambda pod: {"train": "failed"})
        monkeypatch.setattr(janitor_module, "_AWAY_SECONDS", 1.0)
        monkeypatch.setattr(pod_client, "_UNREADY_SECONDS", 0.0)

    def clean(self, *teams: str, **clusters: Path) -> list[str]:
        others = {name: {"connection": {"kubeconfig": str(path)}} for name, path in clusters.items()}
        spec = {**self.spec, "images": {"cpu": "x"}, "teams": {team: {} for team in teams or ("ops",)}}
        document = {"apiVersion": "airloom.io/v1", "kind": "Cluster", "spec": {**spec, "clusters": others}}
        self.file.write_text(yaml.safe_dump(document))
        operator: Any = JanitorOperator(task_id="clean")
        return operator.execute.__wrapped__(operator, {"params": {}})


@pytest.fixture
def janitor(kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Janitor:
    return Janitor(kubeconfig, tmp_path, monkeypatch)


def put_orphan(api: KubernetesApi, name: str) -> None:
    made = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"airloom.io/installation": "here"}
    put_pod(api, name, metadata={"creationTimestamp": made}, labels=labels, status=ended(1))


def test_a_namespace_that_cannot_be_looked_into_fails_the_task_and_the_others_are_cleaned(
    api: KubernetesApi, janitor: Janitor
) -> None:
    put_orphan(api, "train-1")
    api.fail(403, 1000, lambda request: "/namespaces/lab/" in request.path)
    with pytest.raises(UnavailableError, match=r"the log says why: namespace lab$"):
        janitor.clean("lab", "ops")
    assert api.names == []


def test_a_pod_whose_delete_breaks_off_keeps_none_of_the_others(api: KubernetesApi, janitor: Janitor) -> None:
    for number in range(3):
        put_orphan(api, f"train-{number}")
    api.cut_requests(1000, lambda request: request.method == "DELETE" and request.path.endswith("train-0"))
    with pytest.raises(UnavailableError, match=r"the log says why: train-0$"):
        janitor.clean()
    assert api.names == ["train-0"]


def test_a_cluster_that_never_answers_is_asked_once_and_the_others_are_cleaned(
    api: KubernetesApi, janitor: Janitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pod_client, "_TIMEOUT_SECONDS", (1, 2))
    put_orphan(api, "train-1")
    with socket.create_server(("127.0.0.1", 0)) as silent, KubernetesApi() as mute:  # accepts, and says nothing
        mute.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        janitor.spec["connection"] = {"kubeconfig": str(mute.write_kubeconfig(tmp_path / "mute"))}
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"namespace lab, namespace ops$"):
            janitor.clean("lab", "ops", other=tmp_path / "kubeconfig")
        assert time.monotonic() - began < 2 * 2 + 5
    assert api.names == []


def test_the_janitors_task_has_a_limit_shorter_than_the_time_between_its_runs() -> None:
    dag = build_janitor_dag()
    limit = dag.get_task("clean").execution_timeout
    assert limit is not None
    assert limit < dag.schedule
