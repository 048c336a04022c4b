"""`airloom doctor`'s look at a real bucket: found well, gone, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.s3_server import S3Server

from airloom.diagnosis import Diagnosis
from airloom.doctor.services import check_object_store
from airloom.settings import load_settings


def look(folder: Path, bucket: str) -> Diagnosis:
    environ = {"AIRLOOM_HOME": str(folder), "AIRLOOM_ARTIFACTS_URI": f"s3://{bucket}/airloom"}
    (found,) = check_object_store(load_settings(environ))
    return found


def test_a_bucket_that_does_is_left_as_it_was(tmp_path: Path, bucket: str, s3_server: S3Server) -> None:
    assert look(tmp_path, bucket).verdict == "right"
    assert s3_server.client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, bucket: str) -> None:
    found = look(tmp_path, f"{bucket}-gone")
    assert found.verdict == "wrong"
    assert "there is no bucket" in found.message


def test_credentials_that_are_refused_are_told(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    found = look(tmp_path, bucket)
    assert found.verdict == "wrong"
    assert "credentials" in found.message
