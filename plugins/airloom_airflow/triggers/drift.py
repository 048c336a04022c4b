"""Waits until no run of a DAG is under way. `sensors.drift` defers to it before it asks for retraining."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class DriftTrigger(BaseTrigger):
    """Fires once no training run is queued or running: a drift found meanwhile may be cured by that very run.

    Args:
        train_dag_id: the DAG that retrains.
        poll_seconds: time between two looks.

    The event's payload is `{"waited": bool}`: whether a run was under way.
    """

    def __init__(self, train_dag_id: str, poll_seconds: float = 2.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.train_dag_id = train_dag_id
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"train_dag_id": self.train_dag_id, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airloom_airflow.speedups.task_states import RuntimeTaskInstance

        count = sync_to_async(RuntimeTaskInstance.get_dr_count)
        waited = False
        while await count(dag_id=self.train_dag_id, states=["queued", "running"]):
            waited = True
            await asyncio.sleep(self.poll_seconds)
        yield TriggerEvent({"waited": waited})  # type: ignore[no-untyped-call]
