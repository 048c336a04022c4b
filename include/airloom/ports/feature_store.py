"""The feature store: views of values by entity, joined to rows as of each row's time, and looked up online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from airloom.spec.pipeline import FeatureView


class FeatureStore(Protocol):
    """One pipeline's feature store."""

    def apply(self, views: Mapping[str, FeatureView], tables: Mapping[str, Path]) -> None:
        """Declare the views over their Parquet files (`tables`: view → file); what is no longer named is removed."""
        ...

    def join(self, rows: pd.DataFrame, timestamp: str | None) -> pd.DataFrame:
        """The rows, in their order, with every view's columns as they were at each row's time.

        Args:
            timestamp: column with the rows' event time; None: the newest values.
        """
        ...

    def materialise(self) -> None:
        """Bring the newest value of every entity online, and let other processes see the views and their values."""
        ...

    def refresh(self) -> None:
        """Take in what another process has brought online; cheap where nothing was. For a reader that stays.

        Errors:
            UnavailableError: the store behind it does not answer; what was there is still looked up.
        """
        ...

    def look_up(self, view: str, entities: Sequence[Any]) -> dict[str, list[Any]]:
        """The online values of one view: column → value per entity, None where there is none."""
        ...
