"""A result document is read whole, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airloom.errors import ProtocolError, UnavailableError
from airloom.protocol.result import StageResult
from airloom_airflow.operators.stage_result import load_result

RESULT = StageResult(
    team="ops", pipeline="whole", stage="train", run_id="r", attempt=1, status="succeeded", started_at="", ended_at=""
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a result.json"
    path.write_bytes(RESULT.to_json())
    return path


def test_a_whole_result_is_read(document):
    digest = f"sha256:{hashlib.sha256(document.read_bytes()).hexdigest()}"
    assert load_result(document.as_uri(), digest) == RESULT


def test_a_missing_result_may_come_later(tmp_path):
    with pytest.raises(UnavailableError, match="cannot be read"):
        load_result((tmp_path / "none.json").as_uri())


def test_a_truncated_result_is_refused(document):
    document.write_bytes(document.read_bytes()[:-9])
    with pytest.raises(ProtocolError, match="cut off"):
        load_result(document.as_uri())


def test_another_ones_result_is_refused(document):
    with pytest.raises(ProtocolError, match="digest"):
        load_result(document.as_uri(), "sha256:00")
