"""Airflow's stats interface that is set up in this process, to send metrics by.

Airflow names none as public. `airflow.stats`, which was, is a deprecated way to the others from 3.2 on, which has two:
its servers set up one, the triggerer among them, and tasks' processes the other; what is sent by one that is not set up
is dropped without a word. 3.1 has one for all. The providers' `airflow.providers.common.compat.sdk` knows tasks' alone.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

_TRIGGERER = "airflow.jobs.triggerer_job_runner"
_SERVER, _TASK, _FORMER = "airflow.observability.stats", "airflow.sdk.observability.stats", "airflow.stats"


def load_stats() -> Any:
    """With `incr(name, tags=…)` and `timing(name, timedelta, tags=…)`."""
    return _load(_SERVER if _TRIGGERER in sys.modules else _TASK)


@functools.cache
def _load(path: str) -> Any:
    try:
        return importlib.import_module(path).Stats
    except ModuleNotFoundError:
        return importlib.import_module(_FORMER).Stats
