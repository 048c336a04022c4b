"""A late run, as the triggerer calls it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.triggers.callback import CallbackTrigger
from tests.unit.airloom_airflow.notifications.notifiers import Kept
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.errors import ConfigError
from airloom.spec import load_pipeline
from airloom_airflow.notifications.late import build_deadlines, notify_late

HERE = "tests.unit.airloom_airflow.notifications.notifiers"
TEXT = "{{ airloom.pipeline }} {{ dag_run.run_id }}: {{ airloom.reason }}"

DEADLINE = "  airflow: {{dags: {{train: {{deadline_seconds: 600}}}}}}\n"


def build_callback(pipelines: Any, name: str) -> Any:
    notify = f"  notify: {{{{late: [{{{{notifier: {HERE}.{name}, args: {{{{text: TEXT}}}}}}}}]}}}}\n"
    path = write_pipeline(pipelines, "whole", text=FULL + notify + DEADLINE)
    path.write_text(path.read_text().replace("TEXT", f'"{TEXT}"'))
    [alert] = build_deadlines(load_pipeline(path, root=pipelines), 600)["deadline"]
    return alert.callback


@pytest.mark.parametrize(("name", "prefix"), [("Kept", ""), ("KeptAsynchronously", "async ")])
def test_a_late_run_calls_its_notifier(pipelines, name, prefix):
    """By Airflow's own trigger of callbacks, with what it knows: no task, the run's own fields."""
    callback = build_callback(pipelines, name)

    async def run() -> list[Any]:
        trigger = CallbackTrigger(callback.path, {**callback.kwargs, "context": {"dag_run": {"run_id": "r1"}}})
        return [event.payload async for event in trigger.run()]

    assert [payload["state"].value for payload in asyncio.run(run())] == ["running", "success"]
    assert Kept.said.pop() == f"{prefix}ops.whole r1: not done 600 s after it was queued"


def test_a_notifier_that_is_not_there_is_an_error():
    with pytest.raises(ConfigError, match=r"nowhere\.Found"):
        asyncio.run(notify_late("nowhere.Found", {}, {}))
