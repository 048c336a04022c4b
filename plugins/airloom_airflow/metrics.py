"""What happens to stages' pods, as Airflow metrics: by StatsD or OpenTelemetry, as `[metrics]` of Airflow says.

Triggers and operators call it. It keeps no state and no connection of its own: names and values go to the stats
interface that Airflow has set up in this process, which drops them where metrics are off. Airflow puts its own prefix
(`airflow.`) before each name.

Counts:
    airloom.watch.reconnects      the one watch of a namespace was begun anew after a fault (tag `reason`)
    airloom.log.reconnects        a stage's log was opened anew, because it broke off or was silent
    airloom.pod.exited            stages whose pod ended by itself, well or not
    airloom.pod.lost              pods that the infrastructure lost
    airloom.pod.out_of_memory     pods that wanted more memory than they had
    airloom.pod.out_of_disk       pods that wanted more scratch space than they had
    airloom.pod.refused           pods that could not start, whatever one waits
    airloom.pod.overdue           pods given up by one of the profile's limits
    airloom.pod.relaunches        pods made again within a try, without using up a retry
    airloom.pod.memory_raises     those of them that got more memory

Times (StatsD: timers in milliseconds; OpenTelemetry: histograms of milliseconds):
    airloom.watch.lag             from a pod's end, by the node's clock and in whole seconds, until it was seen here
    airloom.pod.queueing          a pod was held by Kueue or another scheduling gate
    airloom.pod.scheduling        until a node was found
    airloom.pod.pulling           from then until the stage's container ran
    airloom.pod.running           the stage itself

Tags, where the backend has them: `namespace`, and of pods `stage`.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from datetime import timedelta
from typing import Any, Literal

Count = Literal[
    "airloom.watch.reconnects",
    "airloom.log.reconnects",
    "airloom.pod.exited",
    "airloom.pod.lost",
    "airloom.pod.out_of_memory",
    "airloom.pod.out_of_disk",
    "airloom.pod.refused",
    "airloom.pod.overdue",
    "airloom.pod.relaunches",
    "airloom.pod.memory_raises",
]
Time = Literal[
    "airloom.watch.lag",
    "airloom.pod.queueing",
    "airloom.pod.scheduling",
    "airloom.pod.pulling",
    "airloom.pod.running",
]

_TRIGGERER = "airflow.jobs.triggerer_job_runner"
_SERVER, _TASK = "airflow.observability.stats", "airflow.sdk.observability.stats"

log = logging.getLogger(__name__)


def count(name: Count, **tags: str) -> None:
    """It has happened once more. A metric that cannot be sent is logged, and harms nobody."""
    try:
        _stats().incr(name, tags=tags)
    except Exception as error:
        log.warning("metric %s is not sent: %s", name, error)


def time(name: Time, seconds: float, **tags: str) -> None:
    """It has taken so long. A metric that cannot be sent is logged, and harms nobody.

    Args:
        seconds: below zero, where two machines' clocks differ, counts as zero.
    """
    try:
        _stats().timing(name, timedelta(seconds=max(0.0, seconds)), tags=tags)
    except Exception as error:
        log.warning("metric %s is not sent: %s", name, error)


def _stats() -> Any:
    """Airflow 3.2 and later have two stats interfaces: its servers set up one, and tasks the other. 3.1 has one."""
    return _load_stats(_SERVER if _TRIGGERER in sys.modules else _TASK)


@functools.cache
def _load_stats(path: str) -> Any:
    try:
        return importlib.import_module(path).Stats
    except ModuleNotFoundError:
        return importlib.import_module("airflow.stats").Stats
