"""`airloom doctor` beside a running embedded runtime: the real Airflow, its database and its bundles are looked at."""

from __future__ import annotations

import json

import pytest
from tests.e2e.conftest import Installation

from airloom.cli import main


def test_a_running_installation_is_all_right(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [found for found in told["diagnoses"] if found["verdict"] != "right"] == []
    checks = {found["check"] for found in told["diagnoses"]}
    assert {"Airflow", "DAG bundles", "database", "stages", "MLflow", "gateway", "ports"} <= checks
