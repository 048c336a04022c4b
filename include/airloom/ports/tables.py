"""Tables: sources and SQL in, Parquet files and data frames out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from airloom.spec.sources import Sink, Source


class Tables(Protocol):
    """Errors of every method: DataError where data is missing, empty, or not what was declared; UserCodeError for
    SQL that does not run; ConfigError for a database or secret that is not there; UnavailableError for a database that
    another process keeps to itself."""

    def identify(self, source: Source, name: str) -> str:
        """Hex digest of what the source holds now; the same content gives the same digest.

        Files count by their bytes; a SQL source by its query and its rows.

        Args:
            name: the source's in the pipeline file, for messages.
        """
        ...

    def extract(self, sources: Mapping[str, Source], queries: Mapping[str, str], folder: Path) -> dict[str, Path]:
        """Run each query with the sources as tables; one Parquet file `<name>.parquet` each, in a stable row order.

        Args:
            queries: DuckDB SQL by name of the result.
            folder: where the files are written.
        """
        ...

    def list_columns(self, sources: Mapping[str, Source], query: str, name: str) -> tuple[str, ...]:
        """The columns that a query gives, which is not run.

        Args:
            query: DuckDB SQL with the sources as tables.
            name: of the query in the pipeline file, for messages.
        """
        ...

    def columns(self, path: Path) -> dict[str, str]:
        """Column name → type, of a Parquet file."""
        ...

    def count(self, path: Path) -> int:
        """Rows of a Parquet file."""
        ...

    def read(self, path: Path) -> pd.DataFrame: ...

    def write(self, frame: pd.DataFrame, path: Path) -> None:
        """Write a Parquet file; the same frame gives the same bytes."""
        ...

    def load(self, source: Source, name: str) -> pd.DataFrame:
        """All rows of one source.

        Args:
            name: the source's in the pipeline file, for messages.
        """
        ...

    def publish(self, frame: pd.DataFrame, sink: Sink, run_id: str) -> str:
        """Put rows into a sink, whole or not at all; a run that is repeated replaces its own rows.

        Returns:
            Where they are, for people: a path, or `database#table`.
        """
        ...
