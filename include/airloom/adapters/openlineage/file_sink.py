"""Appends each stage's events to one file of JSON lines, beside those of Airflow's own OpenLineage provider.

Implements `airloom.ports.LineageSink`. What an event says is made in `events`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from airloom.adapters.openlineage.vendor import load_events
from airloom.errors import UnavailableError
from airloom.protocol import StageContext, StageResult

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent


class FileLineageSink:
    """Many processes may append to the file at once: every event is one write in append mode.

    Args:
        path: the file; made with its folder when it is missing. None: nothing is told.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def start(self, context: StageContext) -> None:
        if self._path is not None:
            events = load_events()
            self._append(self._path, events.build_start(context, datetime.now(UTC).isoformat()))

    def end(self, context: StageContext, result: StageResult) -> None:
        if self._path is not None:
            self._append(self._path, load_events().build_end(context, result))

    def _append(self, path: Path, event: RunEvent) -> None:
        from openlineage.client.serde import Serde

        line = Serde.to_json(event).encode() + b"\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                written = os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnavailableError(f"lineage could not be appended to {path}: {error}. Free or fix it.") from error
        if written < len(line):
            raise UnavailableError(f"only {written} of {len(line)} bytes fitted into {path}. Is the disk full?")
