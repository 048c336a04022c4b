"""Bad data and bad code: a permanent failure that says what was given, what is allowed and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from tests.scenarios.conftest import TEXT, Bank, make_loans

from airloom.protocol import StageResult


def expect_failure(result: StageResult, *words: str) -> None:
    assert result.status == "failed"
    assert result.failure
    assert result.failure.family == "permanent", result.failure
    for word in words:
        assert word in result.failure.message


def rewrite(bank: Bank, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(make_loans()).to_csv(bank.folder / "loans.csv", index=False)


def test_a_missing_source_is_told_with_its_path(bank: Bank) -> None:
    (bank.folder / "loans.csv").unlink()
    expect_failure(bank.run("ingest", "r"), "source 'loans'", str(bank.folder / "loans.csv"))


def test_an_empty_source_is_told(bank: Bank) -> None:
    rewrite(bank, lambda rows: rows.head(0))
    expect_failure(bank.run("ingest", "r"), "no rows")


def test_a_file_of_no_bytes_is_told(bank: Bank) -> None:
    (bank.folder / "loans.csv").write_bytes(b"")
    expect_failure(bank.run("ingest", "r"), "loans")


def test_a_column_that_is_not_there_is_told_with_those_that_are(bank: Bank) -> None:
    rewrite(bank, lambda rows: rows.drop(columns="debt"))
    expect_failure(bank.run("ingest", "r"), "debt", "income")


@pytest.mark.parametrize("window", ["", ", window_days: 3"])
def test_a_timestamp_that_is_no_column_is_told_by_its_key(bank: Bank, window: str) -> None:
    bank.change("    key: [id]\n", f"    key: [id]\n    timestamp: decided{window.replace(', ', chr(10) + '    ')}\n")
    expect_failure(bank.run("ingest", "r"), "data.timestamp names decided", "income")


def test_a_key_that_is_no_column_is_told_by_its_key(bank: Bank) -> None:
    bank.change("key: [id]", "key: [number]")
    expect_failure(bank.run("ingest", "r"), "data.key names number", "income")


def test_a_query_that_does_not_run_is_told_by_its_key(bank: Bank) -> None:
    bank.change("    key: [id]\n", "    key: [id]\n    query: SELECT nothing FROM loans\n")
    expect_failure(bank.run("ingest", "r"), "data.query does not run", "nothing")


def test_a_column_that_a_view_lacks_is_told_by_the_view(bank: Bank) -> None:
    bank.change("  train:", "  features: {views: {loans: {entity: id, columns: [wealth]}}}\n  train:")
    expect_failure(bank.run("ingest", "r"), "features.views.loans names wealth", "income")


def test_a_missing_source_of_a_scoring_is_told_by_its_key(bank: Bank) -> None:
    score = "  score: {source: {type: csv, path: absent.csv}, sink: {type: parquet, path: scores.parquet}}\n"
    bank.write(TEXT + score)
    bank.train("r")
    bank.run("promote", "p")
    expect_failure(bank.run("score", "s"), "score.source", "absent.csv")


def test_a_column_that_has_become_text_fails_its_expectation(bank: Bank) -> None:
    rewrite(bank, lambda rows: rows.assign(income="plenty"))
    assert bank.run("ingest", "r").status == "succeeded"
    expect_failure(bank.run("validate", "r"), "income")


def test_a_failed_validation_is_permanent_and_links_its_data_docs(bank: Bank) -> None:
    rewrite(bank, lambda rows: rows.assign(income=-rows["income"]))
    bank.run("ingest", "r")
    result = bank.run("validate", "r")
    expect_failure(result, "expect_column_values_to_be_between", "income", "data docs")
    assert [verdict.passed for verdict in result.verdicts] == [False]
    assert b"<html" in bank.ports.object_store.read(result.links["Data docs"])


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        ("sklearn.linear_model.LogisticRegresion", ("LogisticRegresion", "did you mean", "LogisticRegression")),
        ("sklearn.nowhere.LogisticRegression", ("sklearn.nowhere", "no module")),
        ("sklearn.linear_model.LinearRegression", ("classification",)),
        ("sklearn.metrics.roc_auc_score", ("no scikit-learn estimator", "entrypoint")),
    ],
)
def test_an_estimator_that_is_none_is_told(bank: Bank, estimator: str, words: tuple[str, ...]) -> None:
    bank.change("sklearn.linear_model.LogisticRegression", estimator)
    bank.run("ingest", "r")
    expect_failure(bank.run("train", "r"), *words)


def test_parameters_that_the_estimator_does_not_take_are_told(bank: Bank) -> None:
    bank.change("seed: 3", "params: {depth: 3}")
    bank.run("ingest", "r")
    expect_failure(bank.run("train", "r"), "depth", "max_iter")


def test_a_target_of_one_class_is_told(bank: Bank) -> None:
    rewrite(bank, lambda rows: rows.assign(repaid=True))
    bank.run("ingest", "r")
    expect_failure(bank.run("train", "r"), "repaid", "nothing to learn")


def test_a_gate_that_is_not_reached_registers_nothing(bank: Bank) -> None:
    bank.change("min: 0.7", "min: 0.9999")
    results = bank.train("r")
    expect_failure(results["gate"], "roc_auc_score", "0.9999")
    assert bank.ports.model_registry.find("credit.loans", "challenger") is None
