"""What every drift detector must do; run on Evidently."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airloom.adapters.evidently import EvidentlyDriftDetector
from airloom.errors import DataError
from airloom.ports import DriftDetector


@pytest.fixture
def detector() -> DriftDetector:
    return EvidentlyDriftDetector()


def draw(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    letters = np.array([f"c{number}" for number in range(60)])
    return pd.DataFrame(
        {
            "figure": generator.normal(shift, 1, rows),
            "flag": generator.integers(0, 2, rows).astype(float),
            "constant": 3.0,
            "letter": letters[generator.integers(0, 60, rows)],
            "prediction": generator.random(rows),
        }
    )


@pytest.mark.parametrize("rows", [100, 600, 5000])
def test_two_samples_of_one_distribution_have_not_drifted(detector: DriftDetector, tmp_path: Path, rows: int) -> None:
    report = detector.compare(draw(8000, 1), draw(rows, 2), tmp_path)
    assert report.drifted == ()
    assert set(report.scores) == {"figure", "flag", "constant", "letter", "prediction"}


def test_only_the_column_that_moved_has_drifted(detector: DriftDetector, tmp_path: Path) -> None:
    report = detector.compare(draw(3000, 1), draw(400, 2, shift=1.0), tmp_path)
    assert report.drifted == ("figure",)
    assert report.scores["figure"] > 0.5


def test_new_categories_are_drift(detector: DriftDetector, tmp_path: Path) -> None:
    current = draw(500, 2).assign(letter="new")
    assert detector.compare(draw(3000, 1), current, tmp_path).drifted == ("letter",)


def test_a_column_that_went_missing_has_drifted_and_one_always_missing_has_not(
    detector: DriftDetector, tmp_path: Path
) -> None:
    reference = draw(500, 1).assign(never=np.nan)
    current = draw(500, 2).assign(never=np.nan, figure=np.nan, letter=None)
    assert set(detector.compare(reference, current, tmp_path).drifted) == {"figure", "letter"}


def test_some_missing_values_are_no_trouble(detector: DriftDetector, tmp_path: Path) -> None:
    reference, current = draw(2000, 1), draw(2000, 2)
    for frame in (reference, current):
        frame.loc[::3, ["figure", "letter"]] = None
    assert detector.compare(reference, current, tmp_path).drifted == ()


def test_the_page_needs_nothing_from_elsewhere(detector: DriftDetector, tmp_path: Path) -> None:
    page = detector.compare(draw(200, 1), draw(200, 2), tmp_path).page.read_text()
    assert "figure" in page
    assert not re.findall(r"<(?:script|img|iframe)[^>]+src=[\"']?(?:https?:)?//", page)
    assert not re.findall(r"<link[^>]+href=[\"']?(?:https?:)?//", page)
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", page)


def test_no_rows_and_other_columns_are_refused(detector: DriftDetector, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0"):
        detector.compare(draw(10, 1), draw(0, 2), tmp_path)
    with pytest.raises(DataError, match="letter"):
        detector.compare(draw(10, 1), draw(10, 2).drop(columns="letter"), tmp_path)
