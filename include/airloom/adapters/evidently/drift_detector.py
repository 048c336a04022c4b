"""`DriftDetector` on Evidently: normed Wasserstein distance of numbers, Jensen-Shannon distance of categories.

The same two measures whatever the number of rows, where Evidently's own choice changes with the reference's size: a
verdict then does not flip because a dataset grew. With few rows two samples of one distribution lie apart by chance,
so the threshold rises above Evidently's 0.1 with the distance that chance alone gives.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airloom.errors import DataError, MissingExtraError
from airloom.ports.drift_detector import DriftReport
from airloom.telemetry import switch_off

if TYPE_CHECKING:
    import pandas as pd

_THRESHOLD = 0.1
_PAGE = "drift_report.html"
_GONE = 1.0
"""Score of a column that one side has no value of."""


class EvidentlyDriftDetector:
    """See `airloom.ports.drift_detector`. Scores are distances, 0 for the same; object columns are categories."""

    def compare(self, reference: pd.DataFrame, current: pd.DataFrame, folder: Path) -> DriftReport:
        _check(reference, current)
        known = {name: (bool(reference[name].notna().any()), bool(current[name].notna().any())) for name in reference}
        scores = {str(name): float(a != b) * _GONE for name, (a, b) in known.items()}
        drifted = {str(name) for name, (a, b) in known.items() if a != b}
        compared = [name for name, both in known.items() if all(both)]
        page = folder / _PAGE
        folder.mkdir(parents=True, exist_ok=True)
        if not compared:
            page.write_text("<!doctype html><title>Drift</title><p>No column has values on both sides.</p>")
        else:
            thresholds = {str(name): _threshold(reference[name], current[name]) for name in compared}
            found = _report(reference[compared], current[compared], thresholds, page)
            scores |= found
            drifted |= {name for name, score in found.items() if score >= thresholds[name]}
        return DriftReport(scores, tuple(name for name in scores if name in drifted), page)


def _check(reference: pd.DataFrame, current: pd.DataFrame) -> None:
    if reference.empty or current.empty:
        raise DataError(f"drift compares rows: the reference has {len(reference)}, the current data {len(current)}")
    if different := set(reference.columns) ^ set(current.columns):
        raise DataError(f"the reference and the current data differ in their columns: {sorted(map(str, different))}")


def _report(
    reference: pd.DataFrame, current: pd.DataFrame, thresholds: dict[str, float], page: Path
) -> dict[str, float]:
    """Column → distance; the page is written."""
    switch_off(os.environ)
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ImportError as error:
        raise MissingExtraError("evidently", "evidently") from error

    numbers = [str(name) for name in reference if _is_number(reference[name])]
    definition = DataDefinition(
        numerical_columns=numbers, categorical_columns=[str(name) for name in reference if name not in numbers]
    )
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon", per_column_threshold=thresholds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of constant columns
        snapshot = Report([preset]).run(
            Dataset.from_pandas(current.reset_index(drop=True), definition),
            Dataset.from_pandas(reference.reset_index(drop=True), definition),
        )
        snapshot.save_html(str(page))
        metrics = json.loads(snapshot.json())["metrics"]
    values = {
        metric["config"]["column"]: float(metric["value"])
        for metric in metrics
        if metric["config"]["type"].endswith(":ValueDrift")
    }
    return {str(name): values[str(name)] for name in reference}


def _threshold(reference: pd.Series[Any], current: pd.Series[Any]) -> float:
    """The distance from which a column has drifted: 0.1, or what chance gives one time in a thousand if that is more.

    For numbers that is about 3 times the standard error. For k categories the squared distance of chance is that of a
    chi-square with k - 1 degrees of freedom, by 8 ln 2 (Jensen-Shannon in bits, for small differences).
    """
    error = math.sqrt(1 / reference.count() + 1 / current.count())
    if _is_number(reference):
        return max(_THRESHOLD, 3.0 * error)
    categories = len({*reference.dropna().unique(), *current.dropna().unique()})
    return max(_THRESHOLD, (math.sqrt(categories - 1) + 2.2) / math.sqrt(8 * math.log(2)) * error)


def _is_number(column: pd.Series[Any]) -> bool:
    return bool(column.dtype.kind in "fiub")
