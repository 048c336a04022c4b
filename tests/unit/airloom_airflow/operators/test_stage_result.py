"""A result document is read whole, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airloom.errors import ConfigError, ProtocolError, UnavailableError
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
    with pytest.raises(UnavailableError, match="there is no result"):
        load_result((tmp_path / "none.json").as_uri())


def test_a_truncated_result_is_refused(document):
    document.write_bytes(document.read_bytes()[:-9])
    with pytest.raises(ProtocolError, match="cut off"):
        load_result(document.as_uri())


def test_another_ones_result_is_refused(document):
    with pytest.raises(ProtocolError, match="digest"):
        load_result(document.as_uri(), "sha256:00")


def test_a_result_in_a_bucket_is_read(bucket, s3_server, monkeypatch):
    content = RESULT.to_json()
    s3_server.client.put_object(Bucket=bucket, Key="a run/result.json", Body=content)
    uri = f"s3://{bucket}/a%20run/result.json"
    assert load_result(uri, f"sha256:{hashlib.sha256(content).hexdigest()}") == RESULT
    with pytest.raises(UnavailableError, match="there is no result"):
        load_result(f"s3://{bucket}/none.json")
    with pytest.raises(ConfigError, match="AIRLOOM_ARTIFACTS_URI"):
        load_result("s3://airloom-no-such-bucket/result.json")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        load_result(uri)


def test_a_bucket_that_does_not_answer_may_come_back(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(UnavailableError, match="does not answer"):
        load_result("s3://airloom/result.json")


def test_a_store_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="gopher://x/y"):
        load_result("gopher://x/y")
