"""Keeps what a trigger logged, where a task defers again within its try. `triggerer` turns it on.

Airflow's triggerer names a trigger's log by the task's try and its own job, not by the trigger, and opens it to
overwrite (`TriggerLoggingFactory`, 3.1 to 3.3.2). A stage whose pod was lost, or ran out of memory, is waited for by a
second trigger, and what the first one logged is gone: just what somebody wants to read. With remote logging nothing is
lost as long as the bucket answers, so there Airflow's own is kept: each trigger's part is uploaded at its end, after
those before it, and overwriting keeps a part from being uploaded twice. Upstream: no issue was found (2026-11-25). It
can go with a version that appends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def keep_logs() -> None:
    """Have Airflow's triggerer, run later in this process, append to the logs of triggers that lie on its disk."""
    import structlog
    from airflow.jobs.triggerer_job_runner import TriggerLoggingFactory
    from airflow.sdk.log import init_log_file, load_remote_log_handler

    overwrite = TriggerLoggingFactory.__call__

    def append(factory: Any, processors: Iterable[Any]) -> Any:
        if hasattr(factory, "bound_logger") or load_remote_log_handler() is not None:
            return overwrite(factory, processors)
        factory._filehandle = init_log_file(factory.log_path).open("ab")
        logger = structlog.BytesLogger(factory._filehandle)
        factory.bound_logger = structlog.wrap_logger(logger, processors=processors).bind()
        return factory.bound_logger

    TriggerLoggingFactory.__call__ = append  # type: ignore[method-assign,assignment]
