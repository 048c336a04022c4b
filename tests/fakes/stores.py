"""A feature store and a prediction log in memory, and ports that hold what a test gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from airloom.errors import UnavailableError
from airloom.ports.prediction_log import MODEL_VERSION, RECEIVED_AT


class MemoryFeatureStore:
    """The online half of `FeatureStore`.

    Args:
        views: view → entity → column → value.
    """

    def __init__(self, views: Mapping[str, Mapping[Any, Mapping[str, Any]]]) -> None:
        self.views = views
        self.away = False

    def look_up(self, view: str, entities: Sequence[Any]) -> dict[str, list[Any]]:
        if self.away:
            raise UnavailableError("the online store is away")
        known = self.views[view]
        columns = {column for values in known.values() for column in values}
        return {column: [known.get(entity, {}).get(column) for entity in entities] for column in columns}

    def refresh(self) -> None:
        if self.away:
            raise UnavailableError("the online store is away")


class MemoryPredictionLog:
    """`PredictionLog`; `away` makes it refuse."""

    def __init__(self) -> None:
        self.away = False
        self._rows: list[pd.DataFrame] = []

    def append(self, rows: pd.DataFrame) -> None:
        if self.away:
            raise UnavailableError("the disk is full")
        if len(rows):
            self._rows.append(rows)

    def read(self, model_version: str) -> pd.DataFrame:
        parts = [rows.astype(object) for rows in self._rows if (rows[MODEL_VERSION] == model_version).all()]
        if not parts:
            return pd.DataFrame()
        found = pd.concat(parts, ignore_index=True).infer_objects()
        return found.sort_values(RECEIVED_AT, kind="stable", ignore_index=True)
