"""Of a task that failed: whether it did not work, or said no."""

from __future__ import annotations

from airloom.errors import ConfigError
from airloom.protocol.launch import StageFailedError
from airloom.protocol.result import Failure, ResultPointer, StageResult
from airloom_airflow.notifications.task import is_refusal
from airloom_airflow.operators.failures import translated_for_airflow

REFUSED = StageResult(
    team="ops", pipeline="whole", stage="gate", run_id="r", attempt=1, started_at="", ended_at="", status="failed",
    failure=Failure(family="permanent", error="GateFailedError", message="auc 0.5"),
)  # fmt: skip


def fail(error: Exception) -> Exception:
    """As an operator raises it."""
    try:
        with translated_for_airflow():
            raise error
    except Exception as raised:
        return raised


def test_a_gate_that_said_no_in_this_try_is_a_refusal() -> None:
    pointer = ResultPointer(result_uri="file:///r.json", digest="sha256:0", status="failed", family="permanent")
    assert is_refusal(REFUSED, fail(StageFailedError("auc 0.5", pointer)))


def test_a_failure_before_the_stage_began_is_none_though_an_earlier_try_was_refused() -> None:
    """Somebody cleared the refusal; its result is there still."""
    assert not is_refusal(REFUSED, fail(ConfigError("compute 'gpu-large' is no profile of this installation")))


def test_a_failure_that_airflow_tells_is_none() -> None:
    assert not is_refusal(REFUSED, "the task's process was killed")
