"""The gateway over real HTTP: right answers, refusals that name the field, and no dropped request on promotion."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pandas as pd
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from tests.scenarios.conftest import Bank, make_loans
from tests.waiting import wait_until

from airloom.serving.gateway import build_gateway

INFER = "/v2/models/credit.loans/infer"


def tensor(name: str, *data: Any, datatype: str = "FP64", shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": list(data)}


GOOD = [tensor("income", 90.0, 12.0), tensor("debt", 2.0, 45.0)]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Version 1 is champion, version 2 is registered."""
    bank = Bank(tmp_path_factory.mktemp("bank"))
    bank.train("first")
    bank.run("promote", "p1")
    make_loans().tail(300).to_csv(bank.folder / "loans.csv", index=False)
    assert bank.train("second")["register"].facts["model_version"] == "2"
    return bank


@pytest.fixture(scope="module")
def gateway(bank: Bank) -> Iterator[httpx.Client]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(build_gateway(bank.settings), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

        def ready() -> bool:
            try:
                return client.get("/v2/models/credit.loans/ready").is_success
            except httpx.TransportError:
                return False

        wait_until(ready, "the champion is served", 30)
        yield client
    server.should_exit = True
    thread.join(30)


def test_it_answers_as_the_model_does_and_keeps_what_it_answered(bank: Bank, gateway: httpx.Client) -> None:
    answer = gateway.post(INFER, json={"id": "mine", "inputs": [*GOOD, tensor("id", 7, 8, datatype="INT64")]})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["model_name"], document["model_version"], document["id"]) == ("credit.loans", "1", "mine")
    outputs = {output["name"]: output["data"] for output in document["outputs"]}
    champion = bank.ports.model_registry.find("credit.loans", "champion")
    assert champion
    model = bank.ports.experiment_tracker.load_model(champion.uri)
    frame = pd.DataFrame({"income": [90.0, 12.0], "debt": [2.0, 45.0]})
    assert outputs["prediction"] == model.predict(frame).tolist() == [True, False]
    assert outputs["probability"] == pytest.approx(model.predict_proba(frame)[:, 1].tolist())

    def logged() -> bool:
        found = bank.ports.prediction_log.read("1")
        return {7, 8} <= set(found["id"]) if "id" in found else False

    wait_until(logged, "the two rows are in the prediction log", 30)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ([tensor("income", 1.0)], "debt"),
        ([*GOOD, tensor("hobby", 1.0, 2.0)], "hobby"),
        ([tensor("income", "much", datatype="BYTES"), tensor("debt", 1.0)], "income"),
        ([tensor("income", 1.0, shape=[3]), tensor("debt", 1.0)], "income"),
        ([tensor("income", 1.0, 2.0), tensor("debt", 1.0)], "debt"),
        ([tensor("income", 1.0, datatype="FP65"), tensor("debt", 1.0)], "datatype"),
        ([], "inputs"),
        ("income", "inputs"),
    ],
)
def test_bad_input_is_refused_and_the_field_is_named(gateway: httpx.Client, inputs: Any, named: str) -> None:
    answer = gateway.post(INFER, json={"inputs": inputs})
    assert 400 <= answer.status_code < 500, answer.text
    assert named in answer.json()["error"]


def test_what_is_no_request_is_refused(gateway: httpx.Client) -> None:
    assert gateway.post("/v2/models/credit.homes/infer", json={"inputs": GOOD}).status_code == 404
    assert gateway.post("/v2/models/credit.loans/versions/9/infer", json={"inputs": GOOD}).status_code == 404
    for body in (b"", b"{", b"[]", b'{"inputs": NaN}', b"\xff\xfe", b"[" * 100_000):
        assert gateway.post(INFER, content=body).status_code == 400, body[:20]
    assert gateway.post(INFER, content=b" " * (17 << 20)).status_code == 413
    assert gateway.post(INFER, json={"inputs": GOOD}).status_code == 200


def test_no_input_whatever_makes_it_fault(gateway: httpx.Client) -> None:
    chance = random.Random(11)
    values = [None, True, -1, 1e308, "x", "", [], {}, [1], {"a": None}, "FP64", "BYTES", "income", 2**70, [[]]]

    def grow(depth: int) -> Any:
        if depth == 0 or chance.random() < 0.3:
            return chance.choice(values)
        keys = chance.sample(["inputs", "outputs", "id", "name", "shape", "datatype", "data", "parameters"], 3)
        return {key: grow(depth - 1) for key in keys} if chance.random() < 0.6 else [grow(depth - 1)]

    def spoil() -> Any:
        body = json.loads(json.dumps({"inputs": GOOD}))
        field = chance.choice(["name", "shape", "datatype", "data"])
        body["inputs"][chance.randrange(2)][field] = grow(2)
        return body

    statuses = [gateway.post(INFER, json=spoil() if chance.random() < 0.7 else grow(4)).status_code for _ in range(200)]
    assert max(statuses) < 500
    assert statuses.count(200) < len(statuses)
    assert gateway.post(INFER, json={"inputs": GOOD}).status_code == 200


def test_metrics_and_the_api_are_told(gateway: httpx.Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(gateway.get("/metrics").text)}
    counted = [family for name, family in families.items() if "request" in name and family.type == "counter"]
    assert sum(sample.value for family in counted for sample in family.samples) > 0
    assert "/v2/models/{model_name}/infer" in gateway.get("/openapi.json").json()["paths"]
    page = gateway.get("/docs")
    assert page.is_success
    assert 'src="http' not in page.text
    assert gateway.get("/v2/health/ready").is_success
    inputs = gateway.get("/v2/models/credit.loans").json()["inputs"]
    assert [tensor["name"] for tensor in inputs] == ["income", "debt"]


def test_a_promotion_drops_no_request(bank: Bank, gateway: httpx.Client) -> None:
    over = threading.Event()

    def ask() -> list[tuple[int, str]]:
        told = []
        while not over.is_set():
            answer = gateway.post(INFER, json={"inputs": GOOD})
            told.append((answer.status_code, answer.json().get("model_version", "")))
        return told

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(4)]
        try:
            bank.run("promote", "p2")
            wait_until(
                lambda: gateway.post(INFER, json={"inputs": GOOD}).json()["model_version"] == "2",
                "version 2 is served",
                30,
            )
        finally:
            over.set()
        told = [each for asker in askers for each in asker.result()]
    assert {status for status, _ in told} == {200}
    assert {version for _, version in told} == {"1", "2"}
