"""Which pods the janitor takes away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airloom.errors import ConfigError
from airloom.settings import load_settings
from airloom.spec.cluster import Cluster, Images
from airloom.spec.team import Team
from airloom_airflow.operators.janitor import StagePod, find_orphans, list_teams

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def pod(minutes: float, *, kept: bool = False) -> StagePod:
    created = NOW - timedelta(minutes=minutes)
    return StagePod("p", "airloom-ops", "u", "ops__x__train", "manual", ("ingest", "train"), created, kept)


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
