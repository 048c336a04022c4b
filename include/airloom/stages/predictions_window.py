"""Which logged predictions count: those of the window, each row once, and beside each the truth. Used by monitor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airloom.errors import DataError
from airloom.ports.prediction_log import PREDICTION, RECEIVED_AT
from airloom.stages.times import read_times

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("airloom.stages.monitor")


@dataclass(frozen=True)
class Joined:
    """Predictions whose truth has arrived; both (n,)."""

    truth: Any
    prediction: Any

    def __len__(self) -> int:
        return len(self.truth)


def in_window(
    rows: pd.DataFrame, timestamp: str | None, days: float | None, end: datetime | None = None
) -> pd.DataFrame:
    """The rows before a moment, and of these the ones of so many days before the newest.

    Args:
        timestamp: column of the event time, as callers gave it (ISO 8601 text). Where no row has it, the time of the
            request counts. A row without one, among rows that have one, is left out.
        days: None: all rows.
        end: with its time zone. None: all that are there.
    """
    import pandas as pd

    if (days is None and end is None) or rows.empty:
        return rows
    times = pd.to_datetime(rows[RECEIVED_AT], utc=True)
    if timestamp in rows.columns:
        given = read_times(rows[timestamp])
        if given.notna().any():
            times = given
            if left := int(given.isna().sum()):
                log.warning("%d predictions have no %s that can be read; they are left out", left, timestamp)
        else:
            log.warning("no prediction has a %s that can be read; the time of the request counts", timestamp)
    if end is not None:
        earlier = times < end
        if later := int((~earlier).sum()):
            log.info("%d of %d predictions are of %s or later; they are left out", later, len(rows), end.isoformat())
        rows, times = rows[earlier], times[earlier]
    return rows if days is None else rows[times > times.max() - pd.Timedelta(days=days)]


def drop_repeats(rows: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Each key once, as last asked; rows without a whole key all stay."""
    if not key or not set(key) <= set(rows.columns):
        return rows
    keys = _keys(rows, key)
    return rows[~keys.duplicated(keep="last") | keys.isna()]


def join_truth(rows: pd.DataFrame, truth: pd.DataFrame, key: Sequence[str], target: str) -> Joined:
    """Predictions and outcomes of the same key; what has no outcome yet is left out.

    Keys match by what they say: 7, 7.0 and "7" are one key, and so are a time and its ISO text.

    Errors:
        DataError: the truth lacks the target or a key column.
    """
    if missing := [name for name in (*key, target) if name not in truth.columns]:
        raise DataError(
            f"monitor.ground_truth has no column {missing[0]!r}; it has: {', '.join(map(str, truth.columns))}"
        )
    if not set(key) <= set(rows.columns):
        log.warning("no request gave the key %s: nothing can be joined to its outcome", ", ".join(key))
        return Joined([], [])
    truth = truth[truth[target].notna()]
    outcomes = truth[target].astype(object)
    outcomes.index = _keys(truth, key)
    outcomes = outcomes[outcomes.index.notna() & ~outcomes.index.duplicated(keep="last")]
    keys = _keys(rows, key)
    found = rows[(keys.isin(outcomes.index) & rows[PREDICTION].notna()).to_numpy()]
    return Joined(outcomes.loc[keys[found.index]].infer_objects().to_numpy(), found[PREDICTION].to_numpy())


def _keys(rows: pd.DataFrame, key: Sequence[str]) -> pd.Series[Any]:
    """One text a row; None where a part of the key is missing."""
    parts = [rows[name].map(_spell).astype(object) for name in key]
    keys = parts[0].astype(str)
    for part in parts[1:]:
        keys = keys + "\x1f" + part.astype(str)
    missing = parts[0].isna()
    for part in parts[1:]:
        missing |= part.isna()
    return keys.astype(object).where(~missing, None)


def _spell(value: Any) -> str | None:
    import pandas as pd

    if pd.isna(value):
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
