"""Waits for a stage's pod in the triggerer, so that no worker slot is held while it runs.

`operators.stage_pod` defers to it; what the end means is decided there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airloom.spec.cluster import Connection, Limits
from airloom.spec.team import AirflowSecret
from airloom_airflow.pods.state import PodState
from airloom_airflow.stage_secrets import keep_masked
from airloom_airflow.triggers.pod_kill import WaitingTask, end_pod
from airloom_airflow.triggers.pod_watch import PodPlace, follow_pod

_kills: set[asyncio.Task[None]] = set()
"""Pods on their way out; the event loop itself keeps no task alive."""

log = logging.getLogger(__name__)
_stage_log = structlog.get_logger("airloom.stage")


def write_log(line: str, when: datetime) -> None:
    """Put a stage's line into the task's log, with the time at which the stage wrote it."""
    _stage_log.info(line, timestamp=when.isoformat(timespec="microseconds"))


class StagePodTrigger(BaseTrigger):
    """Fires once, when the pod has ended or has been too long in one phase.

    Args:
        place: the pod.
        limits: how long each phase may take.
        stage: that is waited for.
        shared: the pod runs others too.
        secrets: of the stage's, those whose values Airflow has, as the cluster file names them.
        launch: what the operator wants back: its count of pods, losses, memory.

    Killed by a person (mark as failed, clear), it deletes its pod. A triggerer that goes down, or to which Airflow
    gives no time any more, does not: see `pod_kill`. Where it fails itself, the pod counts as given up, and the
    operator takes it away.
    """

    def __init__(
        self,
        *,
        place: dict[str, Any],
        limits: dict[str, Any],
        launch: dict[str, Any],
        stage: str,
        shared: bool,
        secrets: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place, self.limits, self.launch = place, limits, launch
        self.stage, self.shared, self.secrets = stage, shared, secrets
        self._cancelled = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        names = ("place", "limits", "launch", "stage", "shared", "secrets")
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        place, limits = load_place(self.place), Limits(**self.limits)
        try:
            if self.secrets:
                await sync_to_async(keep_masked)([AirflowSecret(**secret) for secret in self.secrets])
            state = await follow_pod(place, limits, write_log, self.stage, shared=self.shared)
        except asyncio.CancelledError:
            self._cancelled = True
            raise
        except Exception as error:
            log.exception("pod %s cannot be waited for", place.name)
            words = f"its trigger failed: {type(error).__name__}: {error}"
            state = PodState("ended", "", ending="overdue", message=words)
        payload = {"state": asdict(state), "place": self.place, "launch": self.launch}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Airflow 3.3 and later: the trigger is not the triggerer's any more, for whatever reason.

        Airflow cancels the trigger again at each of its rounds until it has ended, this method with it
        (`TriggerRunner.cancel_triggers`; no issue was found, 2026-11-25). So the pod's end goes on without it.
        """
        self._cancelled = False
        task: Any = self.task_instance
        place = load_place(self.place)
        if task is None:
            log.warning("pod %s stays: its trigger does not know its task", place.name)
            return
        waiting = WaitingTask(task.dag_id, task.run_id, task.task_id, -1 if task.map_index is None else task.map_index)
        kill = asyncio.create_task(self._kill(place, waiting))
        _kills.add(kill)
        kill.add_done_callback(_kills.discard)
        await asyncio.shield(kill)

    async def _kill(self, place: PodPlace, waiting: WaitingTask) -> None:
        try:
            await end_pod(place, waiting, self.stage, shared=self.shared)
        except Exception as error:
            log.warning(
                "pod %s stays, the janitor takes it away if nobody waits for it: %s: %s",
                place.name, type(error).__name__, error,
            )  # fmt: skip

    async def cleanup(self) -> None:
        """Before Airflow 3.3 nothing else is called where a trigger is cancelled, on shutdown too."""
        if self._cancelled and not hasattr(BaseTrigger, "on_kill"):
            await self.on_kill()


def dump_place(place: PodPlace) -> dict[str, Any]:
    """As JSON."""
    return {**asdict(place), "connection": place.connection.model_dump(mode="json")}


def load_place(place: dict[str, Any]) -> PodPlace:
    """From JSON."""
    return PodPlace(**{**place, "connection": Connection(**place["connection"])})
