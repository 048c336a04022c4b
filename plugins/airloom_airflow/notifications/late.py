"""A run that is late: Airflow's deadline alerts, which the triggerer answers by calling the notifiers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseNotifier

from airloom.spec.pipeline import Pipeline
from airloom_airflow.notifications.loading import load_notifier


def build_deadlines(pipeline: Pipeline, seconds: float | None) -> dict[str, Any]:
    """The DAG's deadline as `DAG` takes it; empty where there is none.

    Args:
        seconds: after a run was queued.
    """
    if seconds is None:
        return {}
    from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

    try:
        from airflow.sdk.definitions.callback import AsyncCallback
    except ImportError:  # Airflow 3.1 has it beside the other two
        from airflow.sdk.definitions.deadline import AsyncCallback  # type: ignore[attr-defined]

    told = {"event": "late", "pipeline": pipeline.full_name, "reason": f"not done {seconds:g} s after it was queued"}
    return {
        "deadline": [
            DeadlineAlert(
                reference=DeadlineReference.DAGRUN_QUEUED_AT,
                interval=timedelta(seconds=seconds),
                callback=AsyncCallback(
                    notify_late, {"path": notifier.notifier, "args": notifier.args, "airloom": told}
                ),
            )
            for notifier in pipeline.spec.notify.late
        ]
    }


async def notify_late(
    path: str, args: dict[str, Any], airloom: dict[str, Any], context: dict[str, Any] | None = None
) -> None:
    """Call one notifier, in the triggerer.

    Args:
        path: the notifier's class.
        args: its arguments.
        airloom: what templates know of the event.
        context: what Airflow knows: `dag_run` and `deadline`.

    Errors:
        ConfigError: the notifier cannot be loaded.
    """
    notifier = load_notifier(path, args)
    known: Any = {**(context or {}), "airloom": airloom}
    if type(notifier).async_notify is BaseNotifier.async_notify:  # it has only the other way
        await asyncio.to_thread(notifier, known)
        return
    notifier.context = known
    await notifier
