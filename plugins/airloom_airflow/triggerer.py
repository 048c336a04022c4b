"""`python -m airloom_airflow.triggerer`: Airflow's triggerer, looking for triggers and events five times a second.

Takes the arguments of `airflow triggerer`, and is started in its place. Airflow's own looks once a second, and cannot
be told otherwise: a deferred task waits for that twice before its trigger runs, and once after its event, which is more
than a short stage takes in all (`make bench-cluster`). Whoever starts Airflow's own loses the speed and nothing else.
"""

from __future__ import annotations

import sys

import anyio
from airflow.jobs import triggerer_job_runner

_PAUSE_SECONDS = 0.2


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

    triggerer_job_runner.anyio = _Anyio  # type: ignore[attr-defined,assignment]
    sys.argv = ["airflow", "triggerer", *arguments]
    run_airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1:])
