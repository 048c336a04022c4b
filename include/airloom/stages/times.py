"""Rows' times in windows: how they are read, and what is said where none can be. Used by ingest, score and monitor.

Not here: which rows a window has, which each of them decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airloom.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def read_times(column: pd.Series[Any]) -> pd.Series[Any]:
    """Each row's time with its zone, UTC where it names none; NaT where it is no time or ISO 8601 text: every row in a
    form of its own, so that a text without a fraction after one that has it counts."""
    import pandas as pd

    if column.dtype.kind in "fiub":
        return pd.Series(pd.NaT, index=column.index).dt.tz_localize("UTC")
    return pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")


def require_readable_times(dated: int, rows: int, timestamp: str) -> None:
    """
    Args:
        dated: how many rows have a time that can be read.
        rows: how many there are.
        timestamp: the column, `data.timestamp`.

    Errors:
        DataError: no row has.
    """
    if rows and not dated:
        raise DataError(
            f"none of the {rows} rows has a time that can be read in data.timestamp {timestamp!r}, by which a window "
            "goes. Give dates, times or ISO 8601 text such as 2026-01-31T00:00:00Z; numbers are none, since what they "
            f"count is not said: seconds since 1970 become times by SQL, to_timestamp({timestamp}) AS {timestamp}"
        )
