"""The lineage sink: where a stage's start and end are told, as a child of its Airflow task."""

from __future__ import annotations

from typing import Protocol

import airloom
from airloom.protocol import StageContext, StageResult

NAMESPACE = "airloom"
"""Of Airloom's own datasets, models and jobs."""
PRODUCER = f"https://airloom.io/airloom/{airloom.__version__}"
OWN_SCHEMA = "https://airloom.io/schemas/openlineage/1-0-0/facets.schema.json#/$defs/"
"""Prefix of the schemas of Airloom's own facets."""


class LineageSink(Protocol):
    """Never fails a stage for want of lineage on reading; what cannot be written is an UnavailableError."""

    def start(self, context: StageContext) -> None: ...

    def end(self, context: StageContext, result: StageResult) -> None:
        """COMPLETE or FAIL, by the result's status."""
        ...
