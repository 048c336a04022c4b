"""A model's life without Airflow: trained, registered, promoted, replaced, rolled back."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from tests.scenarios.conftest import TEXT, Bank, make_loans

from airloom.adapters.openlineage.history import ModelHistory

PAGE = Path(__file__).parents[2] / "docs" / "airflow.md"


def test_a_challenger_becomes_champion_only_by_promotion_and_the_one_before_returns_by_rollback(bank: Bank) -> None:
    first = bank.train("first")
    assert [result.status for result in first.values()] == ["succeeded"] * 6
    registry = bank.ports.model_registry
    assert registry.find("credit.loans", "champion") is None
    assert bank.run("promote", "p1").facts["model_version"] == "1"

    make_loans().tail(350).to_csv(bank.folder / "loans.csv", index=False)
    second = bank.train("second")
    assert second["register"].facts["model_version"] == "2"
    assert "champion.roc_auc_score" in second["evaluate"].metrics
    champion = registry.find("credit.loans", "champion")
    assert champion
    assert champion.version == "1"

    promotion = bank.run("promote", "p2")
    assert (promotion.facts["model_version"], promotion.facts["previous_version"]) == ("2", "1")
    assert bank.run("rollback", "r1").facts["model_version"] == "1"
    champion = registry.find("credit.loans", "champion")
    assert champion
    assert champion.version == "1"


def test_a_version_that_is_champion_already_is_not_promoted_again_and_lineage_has_it_once(bank: Bank) -> None:
    bank.train("first")
    assert bank.run("promote", "p1").facts["became_champion"] is True
    bank.train("again")
    repeated = bank.run("promote", "p2")
    assert (repeated.facts["model_version"], repeated.facts["became_champion"]) == ("1", False)
    assert bank.run("promote", "p1", attempt=2).facts["became_champion"] is True  # its own work, before it was killed
    assert bank.settings.lineage_path
    history = ModelHistory(bank.settings.lineage_path, "credit.loans")
    assert {record.run["run_id"] for record in history.promotions} == {"p1"}
    assert history.resolve("champion") == "1"
    assert {record.run["run_id"] for record in history.in_production(datetime.now(UTC).date())} == {"p1"}


def test_the_same_data_are_the_same_version_and_the_same_work_is_not_done_again(bank: Bank) -> None:
    first, second = bank.train("first"), bank.train("second")
    assert first["ingest"].facts["dataset_version"] == second["ingest"].facts["dataset_version"]
    assert second["train"].reused_from
    assert first["train"].facts["model_uri"] == second["train"].facts["model_uri"]
    make_loans().head(399).to_csv(bank.folder / "loans.csv", index=False)
    third = bank.train("third")
    assert third["ingest"].facts["dataset_version"] != first["ingest"].facts["dataset_version"]
    assert not third["train"].reused_from


def test_lineage_holds_schema_version_assertions_and_parameters(bank: Bank) -> None:
    results = bank.train("run")
    path = bank.settings.lineage_path
    assert path
    ended = {}
    for event in map(json.loads, path.read_text().splitlines()):
        if event["eventType"] == "COMPLETE":
            ended[event["run"]["facets"]["airloom_run"]["stage"]] = event
    (rows,) = ended["ingest"]["outputs"]
    assert rows["facets"]["version"]["datasetVersion"] == results["ingest"].facts["dataset_version"]
    assert [field["name"] for field in rows["facets"]["schema"]["fields"]] == ["id", "income", "debt", "repaid"]
    (checked,) = ended["validate"]["inputs"]
    (assertion,) = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert assertion["success"] is True
    assert "income" in assertion["name"]
    (model,) = ended["register"]["outputs"]
    assert model["facets"]["airloom_model"]["estimator"] == "sklearn.linear_model.LogisticRegression"


def test_a_scoring_writes_the_columns_that_the_page_names(bank: Bank) -> None:
    sink = "{type: sql, database: scores.duckdb, table: scores}"
    bank.write(TEXT + f"  score: {{source: {{type: csv, path: loans.csv}}, sink: {sink}}}\n")
    bank.train("first")
    bank.run("promote", "p1")
    assert bank.run("score", "s1").status == "succeeded"
    with duckdb.connect(str(bank.folder / "scores.duckdb"), read_only=True) as database:
        columns = [row[0] for row in database.execute("DESCRIBE scores").fetchall()]
    section = PAGE.read_text().partition("## What a scoring writes")[2].partition("\n## ")[0]
    assert columns == ["id", *re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)]
