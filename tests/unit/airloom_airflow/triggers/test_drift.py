"""The trigger survives the way to the triggerer, and waits while a training is under way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.module_loading import import_string

from airloom_airflow.triggers.drift import DriftTrigger


@pytest.mark.parametrize(("under_way", "waited"), [([0], False), ([2, 1, 0], True)])
def test_it_fires_once_no_training_is_under_way(monkeypatch: pytest.MonkeyPatch, under_way: list[int], waited: bool):
    asked: list[dict[str, Any]] = []
    counts = iter(under_way)

    def count(**query: Any) -> int:
        asked.append(query)
        return next(counts)

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(count))

    async def first() -> Any:
        return await anext(DriftTrigger("ops__whole__train", poll_seconds=0).run())

    assert asyncio.run(first()).payload == {"waited": waited}
    assert asked == [{"dag_id": "ops__whole__train", "states": ["queued", "running"]}] * len(under_way)


def test_it_is_made_anew_in_the_triggerer():
    path, kwargs = DriftTrigger("ops__whole__train", poll_seconds=3).serialize()
    again = import_string(path)(**kwargs)
    assert again.serialize() == (path, kwargs)
