"""Takes answered rows off the requests' path and appends them to the prediction logs, in the background.

Rows are written as soon as they come, many at a time under load, and all of them before it stops. A log that cannot
be written holds nobody up: rows wait in a bounded backlog, and those that find it full are counted as lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from airloom.ports import PredictionLog
from airloom.serving.metrics import GatewayMetrics

_FLUSH_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_MOST_ROWS = 200_000
_BATCH_ROWS = 20_000

log = logging.getLogger("airloom.serving")

_Key = tuple[str, str]
_Rows = Mapping[str, Any]


class PredictionWriter:
    """One thread, all models.

    Args:
        most_rows: that wait at most.
    """

    def __init__(self, metrics: GatewayMetrics, most_rows: int = _MOST_ROWS) -> None:
        self._metrics = metrics
        self._most_rows = most_rows
        self._waiting: dict[_Key, list[tuple[int, _Rows]]] = {}
        self._logs: dict[_Key, PredictionLog] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.trouble: str | None = None
        """Why the last write failed; None where it did not."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Write what waits, once more, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        if self._count:
            log.error("%d answered rows did not reach the prediction log: %s", self._count, self.trouble)

    def add(self, model: str, version: str, target: PredictionLog, rows: _Rows, count: int) -> None:
        """Take in an answer: column → `count` values, or one for all. Never waits for the log."""
        key = (model, version)
        with self._changed:
            if self._count + count > self._most_rows:
                self._metrics.lost_rows.inc(count)
                return
            self._waiting.setdefault(key, []).append((count, rows))
            self._logs[key] = target
            self._grow(count)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                if not self._stopping:
                    self._changed.wait_for(lambda: self._stopping, _RETRY_SECONDS if self.trouble else _FLUSH_SECONDS)
                stopping = self._stopping
                keys = list(self._waiting)
            for key in keys:
                self._write(key)
            if stopping and self.trouble:
                return

    def _write(self, key: _Key) -> None:
        answers, total = self._take(key)
        try:
            self._logs[key].append(_frame(answers))
        except Exception as error:
            self._metrics.failed_writes.inc()
            if self.trouble is None:
                log.error("the prediction log of %s version %s cannot be written; answers go on: %s", *key, error)
            self.trouble = f"{type(error).__name__}: {error}"
            with self._changed:
                self._waiting[key] = answers + self._waiting.get(key, [])
            return
        if self.trouble is not None:
            log.info("the prediction log is written again")
        self.trouble = None
        with self._changed:
            self._grow(-total)

    def _take(self, key: _Key) -> tuple[list[tuple[int, _Rows]], int]:
        """The oldest answers of a model, and how many rows they are; at most about a batch."""
        with self._changed:
            waiting = self._waiting.pop(key)
            total, end = 0, 0
            while end < len(waiting) and total < _BATCH_ROWS:
                total += waiting[end][0]
                end += 1
            if waiting[end:]:
                self._waiting[key] = waiting[end:]
            return waiting[:end], total

    def _grow(self, count: int) -> None:
        self._count += count
        self._metrics.backlog.set(self._count)


def _frame(answers: list[tuple[int, _Rows]]) -> Any:
    """One frame of all answers; a column that some lack is missing there."""
    import pandas as pd

    names = dict.fromkeys(name for _, rows in answers for name in rows)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for count, rows in answers:
        for name in names:
            values = rows.get(name)
            columns[name] += list(values) if isinstance(values, list) else [values] * count
    return pd.DataFrame(columns)
