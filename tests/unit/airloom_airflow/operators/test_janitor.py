"""Which pods the janitor takes away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.kubernetes_api import KubernetesApi
from tests.unit.airloom_airflow.triggers.pods import ended, put_pod, turned_out

from airloom.errors import ConfigError
from airloom.settings import load_settings
from airloom.spec.cluster import Cluster, Images
from airloom.spec.team import Team
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
def test_a_kept_pods_day_begins_at_its_end(
    api: KubernetesApi, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Any, goes: bool
) -> None:
    spec = {"connection": {"kubeconfig": str(kubeconfig)}, "namespace": "ops", "images": {"cpu": "x"},
            "teams": {"ops": {}}}  # fmt: skip
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "airloom.io/v1", "kind": "Cluster", "spec": spec}))
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(file))
    monkeypatch.setenv("AIRLOOM_INSTALLATION", "here")
    made = (datetime.now(UTC) - timedelta(hours=48)).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"airloom.io/kept": "true", "airloom.io/installation": "here"}
    put_pod(api, metadata={"creationTimestamp": made}, labels=labels, status=status)
    janitor: Any = JanitorOperator(task_id="clean")
    context = {"params": {}}
    assert janitor.execute.__wrapped__(janitor, context) == (["train-1"] if goes else [])
    assert api.names == ([] if goes else ["train-1"])
