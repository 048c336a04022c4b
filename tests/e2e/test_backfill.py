"""Airflow's own backfill of a pipeline: each run works on its interval, and starts nothing that is live."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from tests.e2e.conftest import Installation
from tests.waiting import wait_until

from airloom.ports.prediction_log import MODEL_VERSION, PREDICTION, RECEIVED_AT, REQUEST_ID
from airloom.protocol import StageResult
from airloom.protocol.context import result_uri, run_folder
from airloom.stages.wiring import EmbeddedPorts

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: dated, team: examples}
spec:
  schedule: "@daily"
  data:
    sources: {rows: {type: parquet, path: rows.parquet}}
    key: [id]
    timestamp: at
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression, features: [a, b]}
  promote: {auto: true}
  monitor: {schedule: "@daily", window_days: 10, min_rows: 20, drift: {share: 0.5, prediction: false}}
"""
TRAIN, PROMOTE, MONITOR = (f"examples__dated__{family}" for family in ("train", "promote", "monitor"))
URI = "examples/dated"


@pytest.fixture(scope="module")
def living(installation: Installation) -> Installation:
    """A pipeline with a champion, whose answers in March were to other inputs than trained on, and today's are not."""
    random, folder = np.random.default_rng(3), installation.settings.data_root
    frame = pd.DataFrame({"id": range(400), "a": random.normal(size=400), "b": random.normal(size=400)})
    frame["y"] = frame.a > frame.b
    frame["at"] = pd.date_range("2026-01-01", periods=400, freq="6h", tz="UTC")
    frame.to_parquet(folder / "rows.parquet")
    (installation.settings.pipelines / "examples" / "dated.yaml").write_text(TEXT)
    api = installation.api
    for dag_id in (TRAIN, PROMOTE, MONITOR):
        api.wait_for_dag(dag_id, 90)
    assert api.wait_for_run(TRAIN, api.trigger(TRAIN, {}), 180)["state"] == "success"
    promotion = api.wait_for_new_run(PROMOTE, set(), 60)
    assert api.wait_for_run(PROMOTE, promotion["dag_run_id"], 120)["state"] == "success"
    for start, shift in (("2026-03-01", 50.0), ("2026-06-01", 0.0)):
        answers = frame.head(200).drop(columns="y").assign(at=pd.date_range(start, periods=200, freq="1h", tz="UTC"))
        answers[["a", "b"]] += shift
        answers[PREDICTION], answers[MODEL_VERSION] = 0.5, "1"
        answers[RECEIVED_AT] = pd.Timestamp.now(tz="UTC")
        answers[REQUEST_ID] = [f"{start}-{number}" for number in range(200)]
        answers["id"] = [f"{start}-{number}" for number in range(200)]
        find_ports(installation).prediction_log.append(answers.assign(at=answers["at"].astype(str)))
    return installation


def find_ports(installation: Installation) -> EmbeddedPorts:
    return EmbeddedPorts(installation.settings, f"{installation.settings.artifacts_uri}/{URI}")


def read_result(installation: Installation, dag_id: str, stage: str, run_id: str) -> StageResult:
    known_as = run_id if dag_id == TRAIN else f"{dag_id}__{run_id}"
    uri = result_uri(f"{installation.settings.artifacts_uri}/{URI}/runs/{run_folder(known_as)}", stage)
    return StageResult.from_json(find_ports(installation).object_store.read(uri))


def backfill(installation: Installation, dag_id: str, day: str) -> dict[str, Any]:
    """Have Airflow make up for one day; the run, once it has ended."""
    body = {"dag_id": dag_id, "from_date": f"{day}T00:00:00Z", "to_date": f"{day}T00:00:00Z"}
    headers = {"Authorization": f"Bearer {installation.api.token()}"}
    address = f"{installation.runtime.addresses.airflow}/api/v2/backfills"
    answer = httpx.post(address, json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text

    def find() -> dict[str, Any] | None:
        made = [run for run in installation.api.runs(dag_id) if run["run_type"] == "backfill"]
        return next((run for run in made if str(run["logical_date"]).startswith(day)), None)

    wait_until(lambda: find() is not None, f"a backfill run of {dag_id}")
    run = find()
    assert run
    return installation.api.wait_for_run(dag_id, run["dag_run_id"], 180)


def count_live(installation: Installation, dag_id: str) -> int:
    return sum(run["run_type"] in ("asset_triggered", "manual") for run in installation.api.runs(dag_id))


def test_a_backfill_of_the_monitor_judges_its_day_and_starts_no_training(living: Installation) -> None:
    trainings = count_live(living, TRAIN)
    run = backfill(living, MONITOR, "2026-03-10")
    states = {task["task_id"]: task["state"] for task in living.api.task_instances(MONITOR, run["dag_run_id"])}
    facts = read_result(living, MONITOR, "monitor", run["dag_run_id"]).facts
    assert (facts["breached"], facts["window_end"]) == (True, "2026-03-10T00:00:00+00:00")
    assert states == {"monitor": "success", "drift": "skipped"}
    today = living.api.trigger(MONITOR, {})
    assert living.api.wait_for_run(MONITOR, today, 120)["state"] == "success"
    assert read_result(living, MONITOR, "monitor", today).facts["breached"] is False
    assert count_live(living, TRAIN) == trainings


def test_a_backfill_of_the_training_sees_its_day_and_promotes_nothing(living: Installation) -> None:
    promotions = count_live(living, PROMOTE)
    run = backfill(living, TRAIN, "2026-02-20")
    assert run["state"] == "success"
    assert read_result(living, TRAIN, "ingest", run["dag_run_id"]).facts["rows"] == 200
    assert read_result(living, TRAIN, "register", run["dag_run_id"]).facts["model_version"] == "2"
    by_hand = living.api.trigger(PROMOTE, {})  # one run at a time: what an asset had put in line would come before it
    assert living.api.wait_for_run(PROMOTE, by_hand, 120)["state"] == "success"
    promoted = read_result(living, PROMOTE, "promote", by_hand)
    assert promoted.facts["model_version"] == "1", "the challenger is still the live one"
    assert count_live(living, PROMOTE) == promotions + 1


def test_a_trigger_of_the_wrong_type_is_refused_by_the_api(living: Installation) -> None:
    headers = {"Authorization": f"Bearer {living.api.token()}"}
    address = f"{living.runtime.addresses.airflow}/api/v2/dags/{PROMOTE}/dagRuns"
    answer = httpx.post(address, json={"logical_date": None, "conf": {"version": 3}}, headers=headers, timeout=30)
    assert answer.status_code == 400, answer.text
    assert "version" in answer.text
