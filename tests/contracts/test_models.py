"""What every experiment tracker and model registry must do; run on MLflow (SQLite) and on the fakes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.fakes.models import MemoryRegistry, MemoryTracker

from airloom.adapters.mlflow import MlflowExperimentTracker, MlflowModelRegistry
from airloom.adapters.mlflow.connection import require_mlflow
from airloom.errors import AirloomError, ConfigError, DataError, UnavailableError
from airloom.prediction import predict

METADATA = {"types": {"x": "number"}, "features": ["x"], "classes": [False, True], "team": "t"}


@dataclass
class Pair:
    tracker: Any
    registry: Any


@pytest.fixture(scope="module", params=["mlflow", "memory"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    if request.param == "memory":
        tracker = MemoryTracker()
        return Pair(tracker, MemoryRegistry(tracker))
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return Pair(MlflowExperimentTracker(uri, folder), MlflowModelRegistry(uri))


def train(pair: Pair, experiment: str) -> tuple[str, str]:
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    model = LogisticRegression().fit(frame, [False, False, True, True])
    with pair.tracker.start_run(experiment, "run", {"airloom.team": "t"}) as run:
        run.log_params({"C": 1.0, "columns": ["x"]})
        run.log_metrics({"fit_seconds": 0.1})
        run.log_dataset(frame, "rows", "abc", "file:///rows.parquet")
        uri = run.log_model(model, frame, model.predict(frame), METADATA)
    return run.run_id, uri


def test_a_model_is_loaded_as_it_was_logged(pair: Pair) -> None:
    _, uri = train(pair, "t.load")
    answer = predict(pair.tracker.load_model(uri), pd.DataFrame({"x": [0.0, 3.0]}), METADATA)
    assert answer.decision.tolist() == [False, True]
    assert answer.prediction[0] < 0.5 < answer.prediction[1]


def test_registering_a_model_twice_makes_one_version(pair: Pair) -> None:
    run_id, uri = train(pair, "t.once")
    first = pair.registry.register("t.once", uri, run_id, {"airloom.run_id": "r"})
    again = pair.registry.register("t.once", uri, run_id, {"airloom.run_id": "r"})
    assert (first.version, again.version) == ("1", "1")
    assert [known.version for known in pair.registry.list("t.once")] == ["1"]
    assert "t.once" in pair.registry.names()


def test_an_alias_names_one_version_with_its_metadata(pair: Pair) -> None:
    for _ in range(2):
        run_id, uri = train(pair, "t.alias")
        pair.registry.register("t.alias", uri, run_id, {})
    assert pair.registry.find("t.alias", "champion") is None
    pair.registry.set_alias("t.alias", "champion", "1")
    pair.registry.set_alias("t.alias", "champion", "2")
    champion = pair.registry.find("t.alias", "champion")
    assert champion is not None
    assert (champion.version, champion.run_id) == ("2", run_id)
    assert champion.metadata["features"] == ["x"]
    assert pair.tracker.load_model(champion.uri).predict(pd.DataFrame({"x": [3.0]})).tolist() == [True]
    pair.registry.remove_alias("t.alias", "champion")
    pair.registry.remove_alias("t.alias", "champion")
    assert pair.registry.find("t.alias", "champion") is None


def test_tags_are_kept_and_added_to(pair: Pair) -> None:
    run_id, uri = train(pair, "t.tags")
    pair.registry.register("t.tags", uri, run_id, {"airloom.run_id": "r"})
    pair.registry.tag("t.tags", "1", {"airloom.previous": ""})
    tags = pair.registry.require("t.tags", "1").tags
    assert (tags["airloom.run_id"], tags["airloom.previous"]) == ("r", "")


def test_what_is_not_there_is_named(pair: Pair) -> None:
    assert pair.registry.find("t.nothing", "champion") is None
    assert pair.registry.list("t.nothing") == ()
    with pytest.raises(DataError, match="no version '7'"):
        pair.registry.require("t.nothing", "7")
    with pytest.raises(DataError, match="cannot be loaded"):
        pair.tracker.load_model("models:/t.nothing/7")


def test_a_run_fails_with_its_block(pair: Pair) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        pair.tracker.start_run("t.fail", "run", {}) as run,
    ):
        raise ZeroDivisionError
    pair.tracker.tag(run.run_id, {"airloom.gate": "failed"})
    pair.tracker.log_metrics(run.run_id, {"roc_auc_score": 0.5})


def test_an_unknown_run_is_refused(pair: Pair) -> None:
    with pytest.raises(AirloomError):
        pair.tracker.tag("0" * 32, {"a": "b"})


def test_mlflow_away_is_transient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = "http://127.0.0.1:9"  # the discard port: nothing listens
    with pytest.raises(UnavailableError, match=r"does not answer .*AIRLOOM_TRACKING_URI"):
        MlflowModelRegistry(address).find("t.x", "champion")
    with (
        pytest.raises(UnavailableError, match="does not answer"),
        MlflowExperimentTracker(address, tmp_path).start_run("t.x", "run", {}),
    ):
        pass


def test_models_that_lie_with_a_server_are_refused_with_the_remedy_where_only_its_database_is_given(
    tmp_path: Any,
) -> None:
    tracker = MlflowExperimentTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    made = require_mlflow().MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    made.create_experiment("t.served", artifact_location="mlflow-artifacts:/1")  # as its server makes it
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    model = LogisticRegression().fit(frame, [False, True])
    with (
        tracker.start_run("t.served", "run", {}) as run,
        pytest.raises(ConfigError, match=r"set AIRLOOM_TRACKING_URI to .* http://"),
    ):
        run.log_model(model, frame, [False, True], METADATA)


def test_mlflow_file_stores_are_refused_with_the_remedy(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="sqlite:///"):
        MlflowModelRegistry(tmp_path.as_uri()).names()
