"""The lineage sink: where a stage's start and end are told, as a child of its Airflow task."""

from __future__ import annotations

from typing import Protocol

from airloom.protocol import StageContext, StageResult


class LineageSink(Protocol):
    """Never fails a stage for want of lineage on reading; what cannot be written is an UnavailableError."""

    def start(self, context: StageContext) -> None: ...

    def end(self, context: StageContext, result: StageResult) -> None:
        """COMPLETE or FAIL, by the result's status."""
        ...
