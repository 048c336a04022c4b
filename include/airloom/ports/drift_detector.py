"""The drift detector: has what the model sees, or says, moved away from what it was trained on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class DriftReport:
    """What was found.

    Attributes:
        scores: column → the test's figure (a distance, or a p-value).
        drifted: columns that have drifted.
        page: HTML report, self-contained.
    """

    scores: Mapping[str, float]
    drifted: tuple[str, ...]
    page: Path


class DriftDetector(Protocol):
    def compare(self, reference: pd.DataFrame, current: pd.DataFrame, folder: Path) -> DriftReport:
        """Compare column by column; both frames have the same columns.

        Errors:
            DataError: a frame is empty, or their columns differ.
        """
        ...
