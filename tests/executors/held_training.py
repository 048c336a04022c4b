"""A training that the test holds up: `train.entrypoint` of the pipeline `held`. It lies on every part's disk."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any


def fit(features: Any, target: Any, params: dict[str, Any]) -> Any:
    """Write down that it has begun, wait for the test, fit."""
    from sklearn.linear_model import LogisticRegression

    ledger = Path(os.environ["LEDGER"])
    (ledger / f"training.begun.{uuid.uuid4().hex}").write_text(os.environ["PART_NAME"])
    print("LINE held", flush=True)
    while not (ledger / "training").exists():
        time.sleep(0.1)
    print("LINE let go", flush=True)
    return LogisticRegression(max_iter=500).fit(features, target)
