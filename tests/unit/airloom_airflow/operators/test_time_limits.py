"""A pod's time: the shorter of its profile's limit and the task's execution time-out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airloom.spec.cluster import Limits
from airloom_airflow.operators.time_limits import bound_running


@pytest.mark.parametrize(
    ("stages", "execution_timeout", "seconds"),
    [
        (1, None, 100),
        (3, None, 300),
        (1, timedelta(seconds=7.5), 7.5),
        (1, timedelta(hours=1), 100),
        (3, timedelta(seconds=7.5), 22.5),
    ],
)
def test_the_shorter_limit_holds(stages, execution_timeout, seconds):
    limits = Limits(running_seconds=100, pulling_seconds=5)
    bounded = bound_running(limits, stages, execution_timeout)
    assert (bounded.running_seconds, bounded.pulling_seconds) == (seconds, 5)
