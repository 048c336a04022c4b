"""Keeps what triggers logged where Airflow's triggerer loses it. `triggerer` turns both halves on.

`keep_logs`, where a task defers again within its try: Airflow's triggerer names a trigger's log by the task's try and
its own job, not by the trigger, and opens it to overwrite (`TriggerLoggingFactory`, 3.1 to 3.3.2). A stage whose pod
was lost, or ran out of memory, is waited for by a second trigger, and what the first one logged is gone: just what
somebody wants to read. With remote logging nothing is lost as long as the bucket answers, so there Airflow's own is
kept: each trigger's part is uploaded at its end, after those before it, and overwriting keeps a part from being
uploaded twice. Upstream: no issue was found (2026-11-25). It can go with a version that appends.

`upload_at_end`, where a triggerer is stopped and tasks' logs lie in a bucket: Airflow uploads a trigger's log when the
trigger ends (`TriggerRunnerSupervisor`, 3.1 to 3.3.2), and one whose triggerer is stopped (an update, a drained node)
has not: another triggerer goes on with it, into a log of its own, and the first lines stay behind on a disk that may
be gone. Upstream: no issue was found (2026-11-25). It can go with a version whose triggerer uploads them when it is
stopped. A triggerer that is killed outright leaves them on its disk all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

_UPLOAD_SECONDS = 15.0
"""How long a triggerer that is stopped may upload: Kubernetes kills a pod 30 s after it was asked to end."""
_UPLOADS_AT_ONCE = 8
_log = logging.getLogger(__name__)


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


def upload_at_end() -> None:
    """Have Airflow's triggerer, run later in this process, upload logs of unfinished triggers when it is stopped."""
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor

    kill = TriggerRunnerSupervisor.kill

    def kill_and_upload(supervisor: Any, *args: Any, **kwargs: Any) -> None:
        """The triggerer ends the process of its triggers by this, once; after it nothing more is logged."""
        kill(supervisor, *args, **kwargs)
        _upload_all(supervisor.logger_cache)

    TriggerRunnerSupervisor.kill = kill_and_upload  # type: ignore[method-assign,assignment]


def _upload_all(logs: dict[int, Any]) -> None:
    """Upload and close Airflow's `TriggerLoggingFactory` of each trigger, and forget them."""
    waiting = [*logs.values()]
    logs.clear()
    # No pool: a process waits for a pool's threads at its end, however long a bucket keeps them.
    threads = [
        threading.Thread(target=_upload, args=(waiting[number::_UPLOADS_AT_ONCE],), daemon=True)
        for number in range(_UPLOADS_AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + _UPLOAD_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        _log.warning(
            "The logs of unfinished triggers took over %g s to upload: some stay on this disk", _UPLOAD_SECONDS
        )


def _upload(logs: Iterable[Any]) -> None:
    for log in logs:
        try:
            log.upload_to_remote()
        except Exception:
            _log.exception("The log of an unfinished trigger stays on this disk: %s", log.log_path)
        finally:
            log.close()
