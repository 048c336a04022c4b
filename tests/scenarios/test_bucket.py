"""A pipeline whose objects lie in a bucket: trained, looked up in by the gateway, scored and logged there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.scenarios.conftest import TEXT, Bank, make_loans
from tests.waiting import wait_until

from airloom.protocol import StageContext
from airloom.protocol.context import result_uri
from airloom.serving.gateway import build_gateway

STAGES = ("ingest", "validate", "features", "train", "evaluate", "gate", "register", "promote")
FEATURES = """\
  features:
    views:
      debts: {entity: id, query: "SELECT id, debt FROM debts", columns: [debt]}
  train:"""


class BucketBank(Bank):
    """The bank with its objects in a bucket, and the debts as a feature view."""

    def context(self, stage: str, run_id: str, attempt: int = 1, **params: Any) -> StageContext:
        made = super().context(stage, run_id, attempt, **params)
        return made.model_copy(update={"inputs": {name: result_uri(made.run_uri, name) for name in STAGES}})

    def write_debts(self, factor: float) -> None:
        make_loans()[["id", "debt"]].assign(debt=make_loans()["debt"] * factor).to_csv(
            self.folder / "debts.csv", index=False
        )


@pytest.fixture
def bank(tmp_path: Path, bucket: str) -> BucketBank:
    bank = BucketBank(tmp_path)
    bank.environ["AIRLOOM_ARTIFACTS_URI"] = f"s3://{bucket}/airloom"
    text = TEXT.replace("  train:", FEATURES)
    bank.write(text.replace("path: loans.csv}", "path: loans.csv}\n      debts: {type: csv, path: debts.csv}"))
    make_loans().drop(columns="debt").to_csv(tmp_path / "loans.csv", index=False)
    bank.write_debts(1)
    return bank


def test_a_pipeline_lives_in_a_bucket_and_the_gateway_follows_its_features(bank: BucketBank) -> None:
    for stage in STAGES:
        result = bank.run(stage, "first")
        assert result.status == "succeeded", result.failure
        assert all(artifact.uri.startswith("s3://") for artifact in result.outputs.values())
    again = {stage: bank.run(stage, "again") for stage in ("ingest", "validate", "features", "train")}
    assert again["train"].reused_from, "the result of the first run was found in the bucket"
    assert not (bank.settings.home / "artifacts").exists(), "nothing lies beside the bucket"

    with TestClient(build_gateway(bank.settings)) as gateway:
        wait_until(lambda: gateway.get("/v2/models/credit.loans/ready").is_success, "the champion is served")

        def probability() -> float:
            inputs = [
                {"name": "income", "shape": [1], "datatype": "FP64", "data": [60.0]},
                {"name": "id", "shape": [1], "datatype": "INT64", "data": [7]},
            ]
            answer = gateway.post("/v2/models/credit.loans/infer", json={"inputs": inputs})
            assert answer.status_code == 200, answer.text
            return next(one["data"][0] for one in answer.json()["outputs"] if one["name"] == "probability")

        before = probability()
        bank.write_debts(0)
        for stage in ("ingest", "features"):
            assert bank.run(stage, "second").status == "succeeded"
        wait_until(lambda: probability() > before, "the gateway looks up the new features", 5)
    log = bank.ports.prediction_log.read("1")
    assert log["debt"].iloc[0] == pytest.approx(make_loans()["debt"][7])
    assert log["debt"].iloc[-1] == 0
