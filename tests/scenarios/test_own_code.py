"""Code of one's own below the data root: every stage and the gateway find it, from whatever folder they are started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.scenarios.conftest import Bank
from tests.waiting import wait_until

from airloom.serving.gateway import build_gateway

CODE = """\
from sklearn.linear_model import LogisticRegression

class Careful(LogisticRegression):
    pass

def fit(features, target, params):
    return Careful(**params).fit(features, target)
"""
STAGES = ("ingest", "validate", "train", "evaluate", "gate", "register", "promote", "score")
SCORE = """\
  score: {source: {type: csv, path: loans.csv}, sink: {type: parquet, path: scores.parquet}}
"""


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A bank whose model is of a class of its own, and a process that was started in another folder."""
    (tmp_path / "bank").mkdir()
    bank = Bank(tmp_path / "bank")
    (bank.folder / "scoring").mkdir()
    (bank.folder / "scoring" / "own.py").write_text(CODE)
    bank.change("estimator: sklearn.linear_model.LogisticRegression", "entrypoint: 'scoring.own:fit'")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget(bank)
    return bank


def forget(bank: Bank) -> None:
    """Be as a fresh process is, which has loaded none of that code and does not know its folder."""
    sys.path[:] = [path for path in sys.path if path != str(bank.folder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "scoring"]:
        del sys.modules[name]


def test_every_stage_and_the_gateway_load_a_model_of_an_own_class(bank: Bank) -> None:
    path = bank.folder / "pipelines" / "credit" / "loans.yaml"
    path.write_text(path.read_text() + SCORE)
    for stage in STAGES:
        forget(bank)
        result = bank.run(stage, "run")
        assert result.status == "succeeded", result.failure
    forget(bank)
    with TestClient(build_gateway(bank.settings)) as gateway:
        wait_until(lambda: gateway.get("/v2/models/credit.loans/ready").is_success, "the champion is served", 30)


def test_an_estimator_class_of_ones_own_is_found_there_too_and_a_change_of_it_is_not_passed_over(bank: Bank) -> None:
    path = bank.folder / "pipelines" / "credit" / "loans.yaml"
    path.write_text(path.read_text().replace("entrypoint: 'scoring.own:fit'", "estimator: scoring.own.Careful"))
    assert bank.train("first")["evaluate"].status == "succeeded"
    assert bank.train("second")["train"].reused_from
    (bank.folder / "scoring" / "own.py").write_text(CODE + "# changed\n")
    assert not bank.train("third")["train"].reused_from


def test_a_change_of_an_entry_point_in_a_packages_own_file_is_not_passed_over(bank: Bank) -> None:
    (bank.folder / "scoring" / "__init__.py").write_text("from scoring.own import fit\n")
    path = bank.folder / "pipelines" / "credit" / "loans.yaml"
    path.write_text(path.read_text().replace("scoring.own:fit", "scoring:fit"))
    bank.train("first")
    assert bank.train("second")["train"].reused_from
    (bank.folder / "scoring" / "__init__.py").write_text("from scoring.own import fit  # changed\n")
    assert not bank.train("third")["train"].reused_from


@pytest.mark.parametrize("left", ["", "# no class any more\n"])
def test_a_model_whose_code_is_gone_fails_for_good_with_the_remedy(bank: Bank, left: str) -> None:
    for stage in ("ingest", "train"):
        assert bank.run(stage, "run").status == "succeeded"
    forget(bank)
    code = bank.folder / "scoring" / "own.py"
    if left:
        code.write_text(left)
    else:
        code.unlink()
    failure = bank.run("evaluate", "run").failure
    assert failure is not None
    assert failure.family == "permanent"
    assert "scoring" in failure.message
    assert f"below {bank.folder} (AIRLOOM_DATA_ROOT)" in failure.message
