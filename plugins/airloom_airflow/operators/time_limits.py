"""How long a pod may run: its profile's limit, or the task's own execution time-out. `stage_pod` calls it. Pure.

Airflow's execution time-out ends what runs on a worker; of a deferred task nobody watches it.
"""

from __future__ import annotations

from datetime import timedelta

from airloom.spec.cluster import Limits


def bound_running(limits: Limits, stages: int, execution_timeout: timedelta | None) -> Limits:
    """The limits of a pod.

    Args:
        limits: the profile's, for one stage.
        stages: how many stages the pod runs.
        execution_timeout: the task's, which holds where it is shorter; in a pod of several, for each of them.
    """
    seconds = limits.running_seconds
    if execution_timeout is not None:
        seconds = min(seconds, execution_timeout.total_seconds())
    return limits.model_copy(update={"running_seconds": seconds * stages})
