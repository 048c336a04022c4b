"""Waits for a stage's pod in the triggerer, so that no worker slot is held while it runs.

`operators.stage_pod` defers to it; what the end means is decided there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airloom.spec.cluster import Connection, Limits
from airloom_airflow.triggers.pod_watch import PodPlace, delete_pod, follow_pod

_stage_log = structlog.get_logger("airloom.stage")


def write_log(line: str, when: datetime) -> None:
    """Put a stage's line into the task's log, with the time at which the stage wrote it."""
    _stage_log.info(line, timestamp=when.isoformat())


class StagePodTrigger(BaseTrigger):
    """Fires once, when the pod has ended or has been too long in one phase.

    Args:
        place: the pod.
        limits: how long each phase may take.
        stage: that is waited for.
        shared: the pod runs others too.
        launch: what the operator wants back: its count of pods, losses, memory.

    Killed by a person (mark as failed, clear), it deletes its pod. A triggerer that goes down does not.
    """

    def __init__(
        self, *, place: dict[str, Any], limits: dict[str, Any], launch: dict[str, Any], stage: str, shared: bool
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place, self.limits, self.launch = place, limits, launch
        self.stage, self.shared = stage, shared

    def serialize(self) -> tuple[str, dict[str, Any]]:
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        names = ("place", "limits", "launch", "stage", "shared")
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        place, limits = load_place(self.place), Limits(**self.limits)
        state = await follow_pod(place, limits, write_log, self.stage, shared=self.shared)
        payload = {"state": asdict(state), "place": self.place, "launch": self.launch}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        await delete_pod(load_place(self.place))


def dump_place(place: PodPlace) -> dict[str, Any]:
    """As JSON."""
    return {**asdict(place), "connection": place.connection.model_dump(mode="json")}


def load_place(place: dict[str, Any]) -> PodPlace:
    """From JSON."""
    return PodPlace(**{**place, "connection": Connection(**place["connection"])})
