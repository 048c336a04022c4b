"""A second trigger of a try adds to what the first one logged; with remote logging Airflow's own is kept. A triggerer
that is stopped uploads what its unfinished triggers logged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.jobs.triggerer_job_runner import TriggerLoggingFactory, TriggerRunnerSupervisor
from airflow.sdk import log as airflow_log

from airloom_airflow.speedups import switch, trigger_log, triggerer
from airloom_airflow.speedups.trigger_log import keep_logs, upload_at_end

pytestmark = pytest.mark.skipif(switch.version("apache-airflow-core") not in triggerer.TESTED, reason="off here")


def log_twice(path: Path) -> list[str]:
    """Two triggers of one try, in one triggerer; what their log has then."""
    for line in ("of the first pod", "of the second pod"):
        task: Any = None
        factory = TriggerLoggingFactory(log_path=str(path), ti=task)
        for number in range(2):
            factory([lambda logger, level, event: event["event"].encode()]).info(f"line {number} {line}")
        factory.close()
    return path.read_text().splitlines()


@pytest.fixture(autouse=True)
def airflows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back after the test."""
    monkeypatch.setattr(TriggerLoggingFactory, "__call__", TriggerLoggingFactory.__call__)
    monkeypatch.setattr(TriggerRunnerSupervisor, "kill", TriggerRunnerSupervisor.kill)


def test_a_second_trigger_adds_to_the_log_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_log, "load_remote_log_handler", lambda: None)
    keep_logs()
    assert log_twice(tmp_path / "attempt=1.log.trigger.5.log") == [
        "line 0 of the first pod",
        "line 1 of the first pod",
        "line 0 of the second pod",
        "line 1 of the second pod",
    ]


def test_with_remote_logging_a_part_is_not_there_to_be_uploaded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(airflow_log, "load_remote_log_handler", object)
    keep_logs()
    assert log_twice(tmp_path / "attempt=1.log.trigger.5.log") == [
        "line 0 of the second pod",
        "line 1 of the second pod",
    ]


def test_airflows_own_overwrites(tmp_path: Path) -> None:
    """Where this fails, the patch can go."""
    assert len(log_twice(tmp_path / "attempt=1.log.trigger.5.log")) == 2


class Bucket:
    """Where Airflow uploads to: what lay in a log when it was uploaded, by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, str] = {}
        self.refuses: Callable[[str], bool] = lambda path: False

    def upload(self, path: str, ti: object) -> None:
        if self.refuses(path):
            raise ConnectionError("the bucket is away")
        self.objects[path] = (self.folder / path).read_text()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(tmp_path)
    monkeypatch.setattr(airflow_log, "load_remote_log_handler", lambda: bucket)
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    return bucket


def stop_triggerer(folder: Path, names: list[str]) -> TriggerRunnerSupervisor:
    """One with a trigger of each name, whose process logs a last word as it is ended by Airflow."""
    supervisor = create_autospec(TriggerRunnerSupervisor, instance=True, logger_cache={})
    for number, name in enumerate(names):
        task: Any = None
        log = supervisor.logger_cache[number] = TriggerLoggingFactory(log_path=str(folder / name), ti=task)
        log([lambda logger, level, event: event["event"].encode()]).info("waiting")

    def end(of: Any, escalation_delay: float = 5.0, force: bool = False) -> None:
        assert of is supervisor, (escalation_delay, force)
        for log in supervisor.logger_cache.values():
            log.bound_logger.info("cancelled")

    TriggerRunnerSupervisor.kill = end  # type: ignore[method-assign,assignment]
    upload_at_end()
    TriggerRunnerSupervisor.kill(supervisor, escalation_delay=10, force=True)
    return supervisor


def test_a_triggerer_that_is_stopped_uploads_what_its_unfinished_triggers_logged_to_the_last_line(
    tmp_path: Path, bucket: Bucket
) -> None:
    names = [f"{number}.log" for number in range(20)]
    supervisor = stop_triggerer(tmp_path, names)
    assert bucket.objects == dict.fromkeys(names, "waiting\ncancelled\n")
    bucket.objects.clear()
    TriggerRunnerSupervisor.kill(supervisor, force=True)
    assert bucket.objects == {}, "a part is uploaded once"


def test_a_log_that_cannot_be_uploaded_is_named_and_keeps_none_of_the_others(
    tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"{number}.log" for number in range(20)]
    bucket.refuses = lambda path: path == "3.log"
    stop_triggerer(tmp_path, names)
    assert sorted(bucket.objects) == sorted({*names} - {"3.log"})
    assert [record.args for record in caplog.records] == [(str(tmp_path / "3.log"),)]


def test_a_bucket_that_does_not_answer_holds_a_triggerer_up_for_a_while_only(
    tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger_log, "_UPLOAD_SECONDS", 0.05)
    answers = threading.Event()
    bucket.refuses = lambda path: path == "1.log" and not answers.wait()
    try:
        stop_triggerer(tmp_path, ["0.log", "1.log"])
        assert ["some stay on this disk" in record.message for record in caplog.records] == [True]
    finally:
        answers.set()
