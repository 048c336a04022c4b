"""`python -m airloom_airflow.speedups.triggerer`: Airflow's triggerer, looking for triggers and events five times a
second beside Airloom's LocalExecutor. Takes the arguments of `airflow triggerer`, and is started in its place.

Works round a pause that cannot be set: Airflow's own triggerer looks once a second. A deferred task waits for that
twice before its trigger runs, and once after its event, which is more than a short stage takes in all (`make
bench-cluster`). Upstream: no issue was found (2026-11-25), and 3.4.0b2 still has `anyio.move_on_after(1)`;
https://github.com/apache/airflow/pull/67919, open, rewrites that loop. It can go with a version whose pause can be set.

With another executor it looks as often as Airflow's: one that takes a task which comes back at once for lost
(`speedups.executor` has the issues) would do so the more often.

With any executor it keeps what a trigger logged before another of the same try, and uploads what unfinished triggers
logged when it is stopped (`speedups.trigger_log`).

Switched off (see `speedups.switch`), it runs Airflow's own.
"""

from __future__ import annotations

import sys

import anyio

from airloom_airflow.speedups.switch import is_on
from airloom_airflow.speedups.trigger_log import keep_logs, upload_at_end

TESTED = ("3.3.2",)
"""Versions of Airflow: `tests/e2e`, and every test on the cluster."""
_PAUSE_SECONDS = 0.2
_EXECUTOR = "airloom_airflow.speedups.executor.LocalExecutor"


class _Anyio:
    """What Airflow's loop uses of anyio, with a shorter pause."""

    Event = anyio.Event

    @staticmethod
    def move_on_after(delay: float) -> anyio.CancelScope:
        """As anyio's."""
        return anyio.move_on_after(min(delay, _PAUSE_SECONDS))


def main(arguments: list[str]) -> None:
    """Run the triggerer until it is told to stop.

    Args:
        arguments: as `airflow triggerer` takes them.
    """
    from airflow.__main__ import main as run_airflow
    from airflow.configuration import conf

    if is_on("triggerer", TESTED):
        if conf.get("core", "executor") == _EXECUTOR:
            shorten_pause()
        keep_logs()
        upload_at_end()
    sys.argv = ["airflow", "triggerer", *arguments]
    run_airflow()  # type: ignore[no-untyped-call]


def shorten_pause() -> None:
    """Have Airflow's triggerer, run later in this process, look five times a second."""
    from airflow.jobs import triggerer_job_runner

    triggerer_job_runner.anyio = _Anyio  # type: ignore[attr-defined,assignment]


if __name__ == "__main__":
    main(sys.argv[1:])
