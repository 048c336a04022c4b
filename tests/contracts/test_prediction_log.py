"""What every prediction log must do; run on files, in a folder and in a bucket, and on the fake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.fakes.stores import MemoryPredictionLog

from airloom.adapters.local_folder import LocalFolderObjectStore
from airloom.adapters.prediction_files import PredictionFilesLog
from airloom.errors import ConfigError, UnavailableError
from airloom.ports import PredictionLog
from airloom.stages.wiring import open_object_store

START = datetime(2013, 1, 1, tzinfo=UTC)


def rows(ids: list[Any], version: str = "1", minute: int = 0, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ids,
            "prediction": [0.5] * len(ids),
            **columns,
            "airloom_received_at": [START + timedelta(minutes=minute)] * len(ids),
            "airloom_request_id": "r",
            "airloom_model_version": version,
        }
    )


@pytest.fixture(params=["files", "bucket", "memory"])
def prediction_log(request: pytest.FixtureRequest, tmp_path: Path) -> PredictionLog:
    if request.param == "memory":
        return MemoryPredictionLog()
    if request.param == "bucket":
        uri = f"s3://{request.getfixturevalue('bucket')}/bank/loans"
        return PredictionFilesLog(open_object_store(uri), uri)
    return PredictionFilesLog(LocalFolderObjectStore(), tmp_path.as_uri())


def test_a_log_nobody_wrote_is_empty(prediction_log: PredictionLog) -> None:
    assert prediction_log.read("1").empty


def test_rows_are_read_oldest_first_whatever_order_they_came_in(prediction_log: PredictionLog) -> None:
    prediction_log.append(rows(["b"], minute=2))
    prediction_log.append(rows(["a"], minute=1))
    assert prediction_log.read("1")["id"].tolist() == ["a", "b"]


def test_versions_are_kept_apart(prediction_log: PredictionLog) -> None:
    prediction_log.append(rows(["a"], version="1"))
    prediction_log.append(rows(["b", "c"], version="12"))
    assert prediction_log.read("1")["id"].tolist() == ["a"]
    assert prediction_log.read("12")["id"].tolist() == ["b", "c"]


def test_a_missing_value_stays_missing_and_a_figure_a_figure(prediction_log: PredictionLog) -> None:
    prediction_log.append(rows(["a", "b"], x=[1.5, None], text=["u", None]))
    prediction_log.append(rows(["c"], x=[None], text=[None], minute=1))
    found = prediction_log.read("1")
    assert found["x"].dtype == "float64"
    assert found["x"].isna().tolist() == [False, True, True]
    assert found["text"].isna().tolist() == [False, True, True]
    assert found["prediction"].dtype == "float64"


def test_no_rows_add_nothing(prediction_log: PredictionLog) -> None:
    prediction_log.append(rows([]))
    assert prediction_log.read("1").empty


@pytest.fixture
def files(tmp_path: Path) -> PredictionFilesLog:
    return PredictionFilesLog(LocalFolderObjectStore(), tmp_path.as_uri())


def test_slow_traffic_does_not_make_a_file_an_answer(files: PredictionFilesLog, tmp_path: Path) -> None:
    for minute in range(30):
        files.append(rows([str(minute)], minute=minute))
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert len(files.read("1")) == 30


def test_a_full_part_is_left_alone(files: PredictionFilesLog, tmp_path: Path) -> None:
    for _ in range(3):
        files.append(rows(["k"] * 1500))
    assert len(list(tmp_path.rglob("*.parquet"))) == 3
    assert len(files.read("1")) == 4500


def test_two_writers_never_write_over_each_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        PredictionFilesLog(LocalFolderObjectStore(), tmp_path.as_uri()).append(rows([name]))
    assert sorted(PredictionFilesLog(LocalFolderObjectStore(), tmp_path.as_uri()).read("1")["id"]) == ["a", "b", "c"]


def test_keys_of_several_types_are_kept(files: PredictionFilesLog) -> None:
    files.append(rows([7]))
    files.append(rows(["seven", None, 7.5], minute=1))
    assert files.read("1")["id"].map(str).tolist() == ["7", "seven", "None", "7.5"]


def test_a_write_that_fails_adds_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    store = FlakyStore()
    log = PredictionFilesLog(store, tmp_path.as_uri())
    log.append(rows(["a"]))
    store.away = True
    with pytest.raises(UnavailableError):
        log.append(rows(["b"]))
    store.away = False
    log.append(rows(["c"]))
    assert log.read("1")["id"].tolist() == ["a", "c"]


def test_a_version_that_is_a_path_is_refused(files: PredictionFilesLog) -> None:
    with pytest.raises(ConfigError, match="no model version"):
        files.read("../../other")


class FlakyStore(LocalFolderObjectStore):
    away = False

    def write(self, uri: str, content: bytes) -> Any:
        if self.away:
            raise UnavailableError("away")
        return super().write(uri, content)
