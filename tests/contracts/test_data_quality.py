"""What every kind of data quality must do; run on Great Expectations."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from airloom.adapters.great_expectations import GreatExpectationsDataQuality
from airloom.errors import SpecError
from airloom.ports import DataQuality

ROWS = pd.DataFrame({"age": [20.0, 30.0, None, 200.0], "kind": ["a", "b", "a", "b"]})


@pytest.fixture(scope="module")
def quality() -> DataQuality:
    return GreatExpectationsDataQuality()


def test_each_expectation_gets_its_verdict_in_order_and_pages_for_people(quality: DataQuality, tmp_path: Path) -> None:
    report = quality.validate(
        ROWS,
        "people",
        [
            {"expect_column_values_to_be_between": {"column": "age", "min_value": 0, "max_value": 120}},
            {"expect_column_values_to_be_in_set": {"column": "kind", "value_set": ["a", "b"]}},
            {"expect_column_values_to_not_be_null": {"column": "age", "mostly": 0.5}},
            {"expect_table_row_count_to_be_between": {"min_value": 10}},
        ],
        tmp_path,
    )
    assert [verdict.passed for verdict in report.verdicts] == [False, True, True, False]
    assert report.verdicts[0].name == "expect_column_values_to_be_between(age)"
    assert "1 of 4 values are unexpected, such as 200" in (report.verdicts[0].reason or "")
    assert report.verdicts[3].value == 4
    assert "people" in (report.docs / "index.html").read_text()
    assert json.loads(report.document)


def test_an_expectation_on_a_column_that_is_not_there_fails_and_says_so(quality: DataQuality, tmp_path: Path) -> None:
    expectations = [{"expect_column_values_to_not_be_null": {"column": "height"}}]
    (verdict,) = quality.validate(ROWS, "people", expectations, tmp_path).verdicts
    assert not verdict.passed
    assert "height" in (verdict.reason or "")


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ({"expect_column_values_to_not_be_nul": {"column": "age"}}, "did you mean expect_column_values_to_not_be_null"),
        ({"expect_column_values_to_not_be_null": {"colum": "age"}}, "does not take"),
    ],
)
def test_an_expectation_that_is_none_is_the_files_fault(
    quality: DataQuality, tmp_path: Path, expectation: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        quality.validate(ROWS, "people", [expectation], tmp_path)
    good = {"expect_table_row_count_to_be_between": {"min_value": 10}}
    ((position, fault),) = quality.find_faults([good, expectation]).items()
    assert position == 1
    assert message in fault
