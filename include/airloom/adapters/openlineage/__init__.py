"""Lineage as OpenLineage events. Chosen by `airloom.stages.wiring`.

The vendor's library loads when the first event is told.
"""

from airloom.adapters.openlineage.client_sink import ClientLineageSink
from airloom.adapters.openlineage.file_sink import FileLineageSink

__all__ = ["ClientLineageSink", "FileLineageSink"]
