"""The prediction log: every answer that a deployed model gave, with the features it gave it for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

PREDICTION = "prediction"
"""Column: the probability of the positive class, the regressed value, or the class where there are more than two."""
RECEIVED_AT = "airloom_received_at"
"""Column: when the request came, UTC."""
REQUEST_ID = "airloom_request_id"
MODEL_VERSION = "airloom_model_version"


class PredictionLog(Protocol):
    """One pipeline's log. Its rows have the request's columns (key and timestamp too), features filled in, and the
    columns named above."""

    def read(self, model_version: str) -> pd.DataFrame:
        """All rows of one version's answers, oldest first; an empty frame where there are none."""
        ...

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows; whole or not at all."""
        ...
