"""A patch is on where it was tested and wished for; everywhere else it is off, and the log says why."""

from __future__ import annotations

import importlib
import logging
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from airflow.executors import local_executor

from airloom.errors import ConfigError
from airloom_airflow.speedups import executor, switch, triggerer
from airloom_airflow.speedups.switch import find_reason_against

ROOT = Path(__file__).parents[4]
AIRFLOW = version("apache-airflow-core")


def test_a_patch_is_on_with_a_version_that_it_was_tested_with() -> None:
    assert find_reason_against(("3.3.1", "3.3.2"), "3.3.2", "on") is None


@pytest.mark.parametrize(
    ("airflow", "wish", "words"),
    [
        ("3.3.3", "on", "it was tested with Airflow 3.3.1, 3.3.2, and this is 3.3.3"),
        ("3.3.2", "off", "AIRLOOM_SPEEDUPS=off"),
    ],
)
def test_it_is_off_elsewhere_and_says_why(airflow: str, wish: str, words: str) -> None:
    assert find_reason_against(("3.3.2", "3.3.1"), airflow, wish) == words


def test_a_wish_that_is_neither_is_refused() -> None:
    with pytest.raises(ConfigError, match="AIRLOOM_SPEEDUPS='no'; it may be on"):
        find_reason_against((AIRFLOW,), AIRFLOW, "no")


def test_the_locked_airflow_is_one_that_every_patch_was_tested_with() -> None:
    [locked] = re.findall(r"^apache-airflow-core==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked in executor.TESTED
    assert locked in triggerer.TESTED


@pytest.fixture
def reload_executor(monkeypatch: pytest.MonkeyPatch):
    """Loads the executor's module under a wish; afterwards anew, as it was."""

    def load(wish: str):
        monkeypatch.setenv(switch.VARIABLE, wish)
        return importlib.reload(executor).LocalExecutor

    yield load
    monkeypatch.undo()
    importlib.reload(executor)


def test_the_executor_is_airflows_own_where_it_is_switched_off(reload_executor, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger=switch.__name__):
        assert reload_executor("off") is local_executor.LocalExecutor
    assert "LocalExecutor is off: AIRLOOM_SPEEDUPS=off" in caplog.text


def test_the_executor_is_on_with_the_versions_that_it_names_alone(reload_executor, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger=switch.__name__):
        own = reload_executor("on") is local_executor.LocalExecutor
    assert own == (AIRFLOW not in executor.TESTED)
    assert own == (f"and this is {AIRFLOW}" in caplog.text)
