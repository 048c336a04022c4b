"""Sends each stage's events to whatever OpenLineage's own settings name: Marquez or another receiver, by HTTP or Kafka.

Implements `airloom.ports.LineageSink`. The vendor's client reads OPENLINEAGE_URL, OPENLINEAGE_API_KEY and
OPENLINEAGE__TRANSPORT__… itself, as Airflow's provider does:
https://openlineage.io/docs/client/python/configuration. What an event says is made in `events`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from airloom.adapters.openlineage.vendor import load_events
from airloom.errors import UnavailableError
from airloom.protocol import StageContext, StageResult

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent


class ClientLineageSink:
    """Every event is one message of its own, sent before the stage goes on."""

    def start(self, context: StageContext) -> None:
        self._send(load_events().build_start(context, datetime.now(UTC).isoformat()))

    def end(self, context: StageContext, result: StageResult) -> None:
        self._send(load_events().build_end(context, result))

    @cached_property
    def _client(self) -> OpenLineageClient:
        from openlineage.client import OpenLineageClient

        return OpenLineageClient()

    def _send(self, event: RunEvent) -> None:
        try:
            self._client.emit(event)
        except Exception as error:  # each transport has errors of its own
            raise UnavailableError(f"lineage could not be sent: {type(error).__name__}: {error}. Is its receiver up, "
                                   "and do the OPENLINEAGE variables name it?") from error  # fmt: skip
