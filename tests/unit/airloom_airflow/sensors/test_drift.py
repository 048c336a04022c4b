"""When a drift asks for retraining, and when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.errors import ProtocolError
from airloom.protocol.result import StageResult
from airloom.spec import load_pipeline
from airloom_airflow.sensors.drift import DriftEvent, DriftVerdict, build_verdict, find_past, find_refusal

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DRIFT = DriftVerdict(True, "d2", "3", "half of the columns drifted", "file:///r.json")


def told(drift_id: str, ago: timedelta) -> DriftEvent:
    return DriftEvent(drift_id, NOW - ago)


def test_a_first_drift_asks_for_retraining():
    assert find_refusal(DRIFT, [], HOUR, NOW) is None


def test_no_breach_asks_for_nothing():
    calm = DriftVerdict(False, "", "3", "too few rows", "file:///r.json")
    assert find_refusal(calm, [], timedelta(), NOW) == "No breach: too few rows"


def test_a_drift_is_told_once_however_long_ago():
    assert "d2" in (find_refusal(DRIFT, [told("d2", 300 * HOUR), told("d1", 200 * HOUR)], HOUR, NOW) or "")


def test_another_drift_waits_for_the_cooldown():
    assert "cooldown_minutes" in (find_refusal(DRIFT, [told("d1", HOUR / 2)], HOUR, NOW) or "")
    assert find_refusal(DRIFT, [told("d1", HOUR)], HOUR, NOW) is None


def test_without_a_cooldown_another_drift_is_told_at_once():
    assert find_refusal(DRIFT, [told("d1", timedelta())], timedelta(), NOW) is None


@given(st.lists(st.tuples(st.sampled_from(["d0", "d1", "d2", "None"]), st.integers(0, 10_000)), max_size=20))
def test_the_order_of_earlier_events_does_not_matter(pairs):
    events = [told(name, timedelta(minutes=minutes)) for name, minutes in pairs]
    answers = {find_refusal(DRIFT, order, HOUR, NOW) is None for order in (events, events[::-1])}
    expected = all(name != "d2" and minutes >= 60 for name, minutes in pairs)
    assert answers == {expected}


def build_result(**facts: object) -> StageResult:
    return StageResult(
        team="ops",
        pipeline="whole",
        stage="monitor",
        run_id="r",
        attempt=1,
        status="succeeded",
        started_at="",
        ended_at="",
        facts=facts,
    )


def test_a_verdict_is_read_from_the_results_facts():
    facts = {"breached": True, "drift_id": "d2", "model_version": "3", "reason": "half of the columns drifted"}
    assert build_verdict(build_result(**facts), "file:///r.json") == DRIFT


@pytest.mark.parametrize("facts", [{}, {"breached": "yes"}, {"breached": True}, {"breached": True, "drift_id": ""}])
def test_a_result_without_a_verdict_is_refused(facts):
    with pytest.raises(ProtocolError, match=r"file:///r\.json"):
        build_verdict(build_result(**facts), "file:///r.json")


@pytest.mark.parametrize(
    ("ago", "dag_id", "past"),
    [
        (timedelta(hours=3), "ops__whole__monitor", False),
        (timedelta(days=1, hours=12), "ops__whole__monitor", False),
        (timedelta(days=180), "ops__whole__monitor", True),
        (timedelta(days=180), "own_dag", False),  # with a schedule of its own
    ],
)
def test_a_scheduled_run_that_is_cleared_much_later_asks_for_no_training(pipelines, ago, dag_id, past):
    pipeline = load_pipeline(write_pipeline(pipelines, "whole", text=FULL), root=pipelines)
    run = SimpleNamespace(dag_id=dag_id, run_type="scheduled", conf={}, data_interval_end=NOW - ago)
    assert (find_past(pipeline, run, NOW) is not None) is past
