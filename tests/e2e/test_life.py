"""A pipeline's life in the embedded runtime: real Airflow, MLflow and gateway, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tests.e2e.conftest import IRIS, Installation
from tests.waiting import wait_until

from airloom import cli

TRAIN, PROMOTE = "examples__iris__train", "examples__iris__promote"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


@pytest.fixture(scope="module")
def trained(installation: Installation) -> str:
    """A training run that went well, and the promotion that it started; gives the training run's id."""
    api = installation.api
    api.wait_for_dag(TRAIN, 60)
    api.wait_for_dag(PROMOTE, 60)
    run_id = api.trigger(TRAIN, {})
    run = api.wait_for_run(TRAIN, run_id, 120)
    assert run["state"] == "success", {task["task_id"]: task["state"] for task in api.task_instances(TRAIN, run_id)}
    promotion = api.wait_for_new_run(PROMOTE, set(), 60)
    assert api.wait_for_run(PROMOTE, promotion["dag_run_id"], 120)["state"] == "success"
    return run_id


def test_one_file_becomes_a_model_that_serves(installation: Installation, trained: str) -> None:
    inputs = [{"name": name, "shape": [1], "datatype": "FP64", "data": [value]} for name, value in FLOWER.items()]
    answer = httpx.post(
        f"{installation.runtime.addresses.gateway}/v2/models/examples.iris/infer", json={"inputs": inputs}
    )
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["model_version"] == "1"
    prediction = next(output for output in document["outputs"] if output["name"] == "prediction")
    assert prediction["data"] == [0]  # setosa


def test_tasks_link_to_their_artifacts_and_the_links_open(installation: Installation, trained: str) -> None:
    links = installation.api.links(TRAIN, trained, "ingest")
    assert set(links) == {"Dataset manifest"}
    mlflow = installation.api.links(TRAIN, trained, "train")["MLflow run"]
    assert mlflow
    assert mlflow.startswith(installation.runtime.addresses.mlflow)
    address = f"{installation.runtime.addresses.airflow}{links['Dataset manifest']}"
    assert httpx.get(address).status_code in {401, 403}  # only for who has logged in
    token = installation.api.token()
    manifest = httpx.get(address, headers={"Authorization": f"Bearer {token}"})
    assert manifest.status_code == 200, manifest.text
    assert manifest.json()["rows"] == 150


def test_a_stages_log_is_read_in_the_web_ui(installation: Installation, trained: str) -> None:
    log = installation.api.task_log(TRAIN, trained, "ingest")
    assert "150 rows" in log
    assert "password" not in log.lower()


def test_lineage_ties_stages_to_tasks_and_answers_for_a_version(
    installation: Installation, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = installation.settings.lineage_path
    assert path
    assert cli.main(["lineage", "examples.iris@1", "--file", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["run"]["run_id"] == trained
    assert answer["run"]["airflow_task"] == f"{TRAIN}.register"
    assert answer["parameters"]["params"] == {"max_iter": 500}
    assert answer["data"]["datasets"][0]["columns"][-1] == "species"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    tasks = {event["run"]["runId"] for event in events if event["job"]["name"] == f"{TRAIN}.register"}
    assert answer["run"]["airflow_task_run"] in tasks
    assert any(event["job"]["name"] == TRAIN and event["eventType"] == "COMPLETE" for event in events)


def test_pipeline_files_come_change_and_go_without_a_restart(installation: Installation, trained: str) -> None:
    api = installation.api
    folder = installation.settings.pipelines / "examples"
    added = folder / "tulip.yaml"
    added.write_text(IRIS.read_text().replace("name: iris", "name: tulip"))
    api.wait_for_dag("examples__tulip__train", 60)
    added.write_text(IRIS.read_text().replace("name: iris", "name: tulip").replace("evaluate:", "evalute:"))

    def told() -> bool:
        return any(_names(error["stack_trace"], added) for error in api.import_errors())

    wait_until(told, "an import error that names the file")
    (error,) = api.import_errors()
    assert f"{added}:11:" in error["stack_trace"]
    assert "evaluate" in error["stack_trace"]
    assert api.run(TRAIN, trained)["state"] == "success"
    added.unlink()
    wait_until(lambda: not api.import_errors(), "the error goes with its file")


def test_a_piece_that_dies_is_started_again(installation: Installation, trained: str) -> None:
    import os
    import signal

    runtime = installation.runtime
    state = runtime.state
    assert state
    gateway = state.pieces["gateway"].pid
    os.kill(gateway, signal.SIGKILL)

    def serves_again() -> bool:
        now = runtime.state
        assert now
        try:
            ready = httpx.get(f"{now.addresses.gateway}/v2/models/examples.iris/ready").is_success
        except httpx.TransportError:
            return False
        return ready and now.pieces["gateway"].pid != gateway

    wait_until(serves_again, "another gateway serves the champion")


def _names(text: str, file: Path) -> bool:
    return str(file) in text
