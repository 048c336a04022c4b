"""A second trigger of a try adds to what the first one logged; with remote logging Airflow's own is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerLoggingFactory
from airflow.sdk import log as airflow_log

from airloom_airflow.speedups import switch, triggerer
from airloom_airflow.speedups.trigger_log import keep_logs

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
