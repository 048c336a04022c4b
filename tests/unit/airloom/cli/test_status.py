"""`airloom status`: champions whose pipeline file is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.models import MemoryRegistry, MemoryTracker

from airloom.cli.status import list_abandoned
from airloom.errors import UnavailableError
from airloom.settings import Settings, load_settings

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}}}
spec:
  data: {{sources: {{rows: {{type: csv, path: rows.csv}}}}}}
  train: {{target: y, estimator: sklearn.linear_model.LogisticRegression}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"AIRLOOM_HOME": str(tmp_path / "home"), "AIRLOOM_PIPELINES": str(tmp_path / "pipelines")})


@pytest.fixture
def registry() -> MemoryRegistry:
    tracker = MemoryTracker()
    with tracker.start_run("x", "x", {}) as run:
        uri = run.log_model(None, None, None, {})
    registry = MemoryRegistry(tracker)
    for name in ("ops.kept", "ops.gone", "ops.never_promoted"):
        version = registry.register(name, uri, run.run_id, {})
        if name != "ops.never_promoted":
            registry.set_alias(name, "champion", version.version)
    return registry


def write(settings: Settings, name: str, text: str | None = None) -> None:
    path = settings.pipelines / "ops" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or PIPELINE.format(name=name))


def test_a_champion_whose_file_is_gone_is_told_with_what_to_do(settings: Settings, registry: MemoryRegistry) -> None:
    write(settings, "kept")
    (line,) = list_abandoned(settings, registry)
    assert line.startswith("ops.gone version 1 is champion and served, and no file")
    assert "Put its file back; or, to end its serving, take the alias champion off it in MLflow" in line


def test_nothing_is_said_where_every_champion_has_its_file(settings: Settings, registry: MemoryRegistry) -> None:
    write(settings, "kept")
    write(settings, "gone")
    assert list(list_abandoned(settings, registry)) == []


def test_a_file_that_is_not_valid_is_not_taken_for_gone(settings: Settings, registry: MemoryRegistry) -> None:
    write(settings, "kept")
    write(settings, "gone", "spec: {")
    (line,) = list_abandoned(settings, registry)
    assert "is not known" in line
    assert "gone.yaml is not valid, see `airloom validate`" in line


def test_a_file_in_the_root_that_is_not_valid_may_be_any_teams(settings: Settings, registry: MemoryRegistry) -> None:
    write(settings, "kept")
    (settings.pipelines / "gone.yaml").write_text("metadata: {name: gone, team: ops}")
    (line,) = list_abandoned(settings, registry)
    assert "is not known" in line


def test_a_registry_that_is_away_is_told(settings: Settings) -> None:
    class Away(MemoryRegistry):
        def names(self) -> tuple[str, ...]:
            raise UnavailableError("MLflow does not answer")

    assert list(list_abandoned(settings, Away(MemoryTracker()))) == [
        "whether every champion has its pipeline file was not checked: MLflow does not answer"
    ]
