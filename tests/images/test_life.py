"""A model's life in the images themselves: trained in the stage's, served by the gateway's, watched by the stage's."""

from __future__ import annotations

import csv
import json
import random
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.images.builder import build_image
from tests.images.container import Container
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(1800)

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: loans, team: credit}
spec:
  data:
    sources:
      loans: {type: csv, path: loans.csv}
      people: {type: csv, path: people.csv}
    query: SELECT id, person, debt, repaid FROM loans
    key: [id]
    expectations:
      - expect_column_values_to_be_between: {column: debt, min_value: 0}
  features:
    views:
      person: {entity: person, query: "SELECT person, income FROM people", columns: [income]}
  train: {target: repaid, estimator: sklearn.linear_model.LogisticRegression, features: [income, debt], seed: 3}
  evaluate: {metrics: [roc_auc_score]}
  promote: {auto: true}
  monitor: {min_rows: 10, drift: {share: 0.5}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def write_bank(folder: Path) -> None:
    numbers = random.Random(5)
    people = [(f"p{number}", round(numbers.uniform(10, 100), 2)) for number in range(40)]
    loans = []
    for number in range(400):
        person, income = people[number % 40]
        debt = round(numbers.uniform(0, 50), 2)
        loans.append((number, person, debt, income - debt + numbers.gauss(0, 8) > 25))
    for name, header, rows in (
        ("people", ("person", "income"), people),
        ("loans", ("id", "person", "debt", "repaid"), loans),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    (folder / "pipelines/credit").mkdir(parents=True)
    (folder / "pipelines/credit/loans.yaml").write_text(PIPELINE)
    (folder / "home").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def ask(url: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:
        return json.loads(answer.read() or b"{}")


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Container]]:
    made: list[Container] = []

    def unpack(name: str) -> Container:
        made.append(Container(build_image(name), tmp_path_factory.mktemp(name)))
        return made[-1]

    yield unpack
    for container in made:
        shutil.rmtree(container.folder)


def test_a_model_is_trained_served_and_watched(tmp_path: Path, unpack: Callable[[str], Container]) -> None:
    folder = tmp_path / "bank"
    folder.mkdir()
    write_bank(folder)
    stage, serve = unpack("stage-cpu"), unpack("serve")
    tracking_port, gateway_port = free_port(), free_port()
    tracking, gateway = f"http://127.0.0.1:{tracking_port}", f"http://127.0.0.1:{gateway_port}"
    environ = {
        "AIRLOOM_HOME": "/bank/home",
        "AIRLOOM_DATA_ROOT": "/bank",
        "AIRLOOM_PIPELINES": "/bank/pipelines",
        "AIRLOOM_TRACKING_URI": tracking,
        "AIRLOOM_GATEWAY_URL": gateway,
        "OMP_NUM_THREADS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    options: dict[str, Any] = {"network": True, "mounts": {"/bank": folder}, "environ": environ}
    kept = ("--backend-store-uri", "sqlite:////bank/mlflow.db", "--artifacts-destination", "/bank/mlflow")
    with stage.running("mlflow", "server", "--port", str(tracking_port), "--workers", "1", *kept, **options) as log:
        wait_until(lambda: answers(f"{tracking}/health"), f"MLflow answers; see {log}", 120)
        run = ("airloom", "run", "/bank/pipelines/credit/loans.yaml", "--family")
        for family in ("train", "promote"):
            told = stage.run(*run, family, **options)
            assert told.returncode == 0, told.stdout
        with serve.running("--port", str(gateway_port), entrypoint=True, **options) as log:
            ready = f"{gateway}/v2/models/credit.loans/ready"
            wait_until(lambda: answers(ready), f"the champion is served; see {log}", 120)
            inputs = [
                {"name": "person", "shape": [20], "datatype": "BYTES", "data": [f"p{each}" for each in range(20)]},
                {"name": "debt", "shape": [20], "datatype": "FP64", "data": [float(each) for each in range(20)]},
            ]
            answer = ask(f"{gateway}/v2/models/credit.loans/infer", {"inputs": inputs})
            outputs = {output["name"]: output["data"] for output in answer["outputs"]}
            assert {*outputs["prediction"]} == {True, False}
            logged = folder / "home/artifacts/credit/loans"
            wait_until(lambda: any(logged.glob("predictions/**/*.parquet")), "the rows are in the prediction log", 60)
        told = stage.run(*run, "monitor", **options)
        assert told.returncode == 0, told.stdout
