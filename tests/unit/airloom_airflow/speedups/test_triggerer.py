"""Airflow's triggerer is run in every case, with the arguments given; its pause is changed where the patch is on and
the executor is Airloom's."""

from __future__ import annotations

import sys
from unittest.mock import create_autospec

import anyio
import pytest
from airflow import __main__ as airflow_program
from airflow.jobs import triggerer_job_runner

from airloom_airflow.speedups import switch, triggerer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Runs it with Airflow's own program taken out."""
    program = create_autospec(airflow_program.main)
    monkeypatch.setattr(airflow_program, "main", program)
    monkeypatch.setattr(triggerer_job_runner, "anyio", anyio, raising=False)  # 3.1 has none
    monkeypatch.setattr(triggerer, "keep_logs", create_autospec(triggerer.keep_logs))
    monkeypatch.setattr(triggerer, "upload_at_end", create_autospec(triggerer.upload_at_end))
    monkeypatch.setattr(sys, "argv", [])

    def run_with(wish: str, *arguments: str) -> None:
        monkeypatch.setenv(switch.VARIABLE, wish)
        triggerer.main(list(arguments))
        program.assert_called_once_with()

    return run_with


def test_switched_off_it_runs_airflows_own(run) -> None:
    run("off", "--skip-serve-logs")
    assert triggerer_job_runner.anyio is anyio
    assert sys.argv == ["airflow", "triggerer", "--skip-serve-logs"]


@pytest.mark.skipif(switch.version("apache-airflow-core") not in triggerer.TESTED, reason="off on this Airflow")
@pytest.mark.parametrize(
    ("executor", "is_shorter"),
    [
        ("airloom_airflow.speedups.executor.LocalExecutor", True),
        ("LocalExecutor", False),
        ("CeleryExecutor", False),
    ],
)
def test_switched_on_its_pause_is_shorter_beside_an_executor_that_bears_it(
    run, monkeypatch: pytest.MonkeyPatch, executor: str, is_shorter: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    run("on")
    assert (triggerer_job_runner.anyio is not anyio) == is_shorter


@pytest.mark.parametrize(("asked", "given"), [(1, 0.2), (0.1, 0.1)])
def test_a_pause_is_cut_and_never_made_longer(asked: float, given: float) -> None:
    async def measure() -> float:
        with triggerer._Anyio.move_on_after(asked) as scope:
            return scope.deadline - anyio.current_time()

    assert anyio.run(measure) == pytest.approx(given, abs=0.05)
