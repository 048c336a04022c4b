"""A run of a past interval works on that interval's rows: training, scoring and monitoring as of a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.scenarios.conftest import TEXT, Bank, make_loans

from airloom.ports.prediction_log import MODEL_VERSION, PREDICTION, RECEIVED_AT, REQUEST_ID
from airloom.protocol import StageResult
from airloom.spec.parameters import apply_parameters, check_parameters

FIRST = pd.Timestamp("2026-01-01T00:00:00Z")
DATED = TEXT.replace("key: [id]", "key: [id]\n    timestamp: at").replace(
    "  promote:",
    """\
  score:
    source: {type: csv, path: loans.csv}
    sink: {type: parquet, path: scores.parquet}
  monitor: {min_rows: 20, drift: {share: 0.5}}
  promote:""",
)


@pytest.fixture
def dated(bank: Bank) -> Bank:
    """Four hundred loans, one a quarter of a day, a hundred days."""
    bank.write(DATED)
    times = [(FIRST + pd.Timedelta(hours=6 * number)).isoformat() for number in range(400)]
    make_loans().assign(at=times).to_csv(bank.folder / "loans.csv", index=False)
    return bank


def run(bank: Bank, stage: str, run_id: str, end: str | None, **told: Any) -> StageResult:
    context = bank.context(stage, run_id)
    return bank.execute(context.model_copy(update={"window_end": end, **told}))


def train(bank: Bank, run_id: str, end: str | None, **told: Any) -> dict[str, StageResult]:
    stages = ("ingest", "validate", "train", "evaluate", "gate", "register")
    return {stage: run(bank, stage, run_id, end, **told) for stage in stages}


def test_a_training_of_a_past_interval_sees_no_later_row(dated: Bank, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    past = run(dated, "ingest", "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert past.facts["rows"] == 200
    assert "200 of 400 rows are dated 2026-02-20T00:00:00+00:00 or later; they are left out" in caplog.text
    assert run(dated, "ingest", "now", None).facts["rows"] == 400
    again = run(dated, "ingest", "again", "2026-02-20T01:00:00+01:00", backfill=True)
    assert again.facts["dataset_version"] == past.facts["dataset_version"]


def test_the_window_counts_from_the_newest_row_of_the_interval(dated: Bank) -> None:
    dated.write(DATED.replace("    timestamp: at", "    timestamp: at\n    window_days: 10"))
    assert run(dated, "ingest", "past", "2026-02-20T00:00:00+00:00").facts["rows"] == 40


@pytest.mark.parametrize("kind", ["text", "mixed", "time", "zoned", "date"])
def test_a_window_counts_in_every_form_of_a_time(dated: Bank, kind: str) -> None:
    text = DATED.replace("{type: csv, path: loans.csv}", "{type: parquet, path: loans.parquet}", 1)
    dated.write(text.replace("    timestamp: at", "    timestamp: at\n    window_days: 10"))
    times = pd.Series([FIRST + pd.Timedelta(days=number // 4) for number in range(400)])
    forms = {
        "text": times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "mixed": times.dt.strftime("%Y-%m-%d").where(
            times.index % 2 == 0, times.dt.strftime("%Y-%m-%d %H:%M:%S.5+02:00")
        ),
        "time": times.dt.tz_localize(None),
        "zoned": times,
        "date": times.dt.date,
    }
    make_loans().assign(at=forms[kind]).to_parquet(dated.folder / "loans.parquet")
    assert run(dated, "ingest", "now", None).facts["rows"] == 40
    past = run(dated, "ingest", "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert past.facts["rows"] == 40


@pytest.mark.parametrize("numbers", [range(1_767_225_600, 1_767_226_000), [20260101] * 400, [1.5] * 400])
@pytest.mark.parametrize("asked", ["window_days", "window_end"])
def test_a_window_of_times_that_are_numbers_is_refused(dated: Bank, numbers: Any, asked: str) -> None:
    text = DATED.replace("{type: csv, path: loans.csv}", "{type: parquet, path: loans.parquet}", 1)
    days = "\n    window_days: 10" if asked == "window_days" else ""
    dated.write(text.replace("    timestamp: at", f"    timestamp: at{days}"))
    make_loans().assign(at=numbers).to_parquet(dated.folder / "loans.parquet")
    end = None if days else "2026-02-20T00:00:00+00:00"
    refused = run(dated, "ingest", "now", end, params={} if days else {"window_end": end}).failure
    assert refused
    assert refused.family == "permanent"
    assert "none of the 400 rows has a time that can be read in data.timestamp 'at'" in refused.message
    assert "to_timestamp(at)" in refused.message


def test_another_window_is_another_result(dated: Bank) -> None:
    """The cache may not answer for one interval with another's rows."""
    run(dated, "ingest", "past", "2026-02-20T00:00:00+00:00")
    assert run(dated, "ingest", "same", "2026-02-20T00:00:00+00:00").reused_from
    later = run(dated, "ingest", "later", "2026-03-02T00:00:00+00:00")
    assert not later.reused_from
    assert later.facts["rows"] == 240


def test_a_window_that_leaves_out_nothing_costs_no_second_training(dated: Bank) -> None:
    train(dated, "first", "2027-01-01T00:00:00+00:00")
    second = train(dated, "second", "2027-01-02T00:00:00+00:00")
    assert not second["ingest"].reused_from
    assert second["train"].reused_from


@pytest.mark.parametrize("undated", ["", "some day"])
def test_a_row_without_a_time_is_of_no_past_interval_and_of_every_live_one(dated: Bank, undated: str) -> None:
    rows = make_loans().assign(at=[undated, *[str(FIRST)] * 399])
    rows.to_csv(dated.folder / "loans.csv", index=False)
    assert run(dated, "ingest", "live", "2026-02-20T00:00:00+00:00").facts["rows"] == 400
    assert run(dated, "ingest", "past", "2026-02-20T00:00:00+00:00", backfill=True).facts["rows"] == 399


def test_a_backfills_model_is_registered_and_challenges_nobody(dated: Bank) -> None:
    results = train(dated, "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert results["register"].facts["model_version"] == "1"
    assert dated.ports.model_registry.find("credit.loans", "challenger") is None
    train(dated, "now", None)
    challenger = dated.ports.model_registry.find("credit.loans", "challenger")
    assert challenger
    assert challenger.version == "2"


def test_a_scoring_of_a_past_interval_scores_its_rows(dated: Bank) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    scored = run(dated, "score", "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert scored.facts["rows"] == 200
    scores = pd.read_parquet(dated.folder / "scores.parquet")
    assert pd.to_datetime(scores["at"], utc=True).max() < pd.Timestamp("2026-02-20T00:00:00Z")
    early = run(dated, "score", "early", "2025-01-01T00:00:00+00:00", backfill=True)
    assert early.status == "failed"
    assert early.failure
    assert "none of the 400 rows" in early.failure.message
    assert early.failure.family == "permanent"


def test_a_live_scoring_scores_every_row_that_is_there_also_of_days_to_come(dated: Bank) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    scored = run(dated, "score", "scheduled", "2026-02-20T00:00:00+00:00")
    assert (scored.facts["rows"], scored.facts["rows_left_out"]) == (400, 0)


def test_rows_that_a_scoring_leaves_out_are_counted_and_logged(dated: Bank, caplog: pytest.LogCaptureFixture) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    caplog.set_level("INFO")
    past = run(dated, "score", "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert (past.facts["rows"], past.facts["rows_left_out"]) == (200, 200)
    assert "200 of 400 rows are dated 2026-02-20T00:00:00+00:00 or later; they are left out" in caplog.text
    dated.write(DATED.replace("  score:\n", "  score:\n    window_days: 10\n"))
    sliced = run(dated, "score", "sliced", "2026-02-20T00:00:00+00:00")
    assert (sliced.facts["rows"], sliced.facts["rows_left_out"]) == (40, 360)


def test_a_scoring_window_of_times_that_are_numbers_is_refused(dated: Bank) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    make_loans().assign(at=range(400)).to_csv(dated.folder / "loans.csv", index=False)
    dated.write(DATED.replace("  score:\n", "  score:\n    window_days: 10\n"))
    refused = run(dated, "score", "sliced", None).failure
    assert refused
    assert "none of the 400 rows has a time that can be read in data.timestamp 'at'" in refused.message
    assert "to_timestamp(at)" in refused.message


def test_rows_without_a_time_column_are_scored_live_and_never_as_of_a_past_day(dated: Bank) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    make_loans().to_csv(dated.folder / "loans.csv", index=False)
    assert run(dated, "score", "live", "2026-02-20T00:00:00+00:00").facts["rows"] == 400
    past = run(dated, "score", "past", "2026-02-20T00:00:00+00:00", backfill=True)
    assert past.failure
    assert "no column 'at'" in past.failure.message


def test_every_row_is_scored_however_its_time_is_spelled(dated: Bank) -> None:
    train(dated, "now", None)
    dated.run("promote", "p1")
    dated.write(DATED.replace("source: {type: csv, path: loans.csv}", "source: {type: parquet, path: spelled.parquet}"))
    spelled = ["2026-01-01", "2026-01-02 10:00:00", "2026-01-03T10:00:00.5Z", "2026-01-04T10:00:00+02:00", "soon", None]
    make_loans().head(6).assign(at=spelled).to_parquet(dated.folder / "spelled.parquet")
    assert run(dated, "score", "live", "2026-02-20T00:00:00+00:00").facts["rows"] == 6
    assert run(dated, "score", "past", "2026-02-20T00:00:00+00:00", backfill=True).facts["rows"] == 4


def log_predictions(bank: Bank, version: str, start: str, shift: float) -> None:
    """Two hundred answers, one an hour from `start`, to loans whose incomes lie `shift` higher than trained on."""
    rows = make_loans().head(200).drop(columns="repaid")
    times = [(pd.Timestamp(start) + pd.Timedelta(hours=number)).isoformat() for number in range(200)]
    chance = np.random.default_rng(1).uniform(0, 1, 200)
    bank.ports.prediction_log.append(
        rows.assign(
            **{
                "income": rows.income + shift,
                "at": times,
                PREDICTION: chance,
                RECEIVED_AT: pd.Timestamp("2026-06-01T00:00:00Z"),
                REQUEST_ID: [f"{start}-{number}" for number in range(200)],
                MODEL_VERSION: version,
            }
        )
    )


def test_a_monitoring_of_a_past_interval_judges_its_predictions_not_todays(dated: Bank) -> None:
    dated.write(DATED.replace("drift: {share: 0.5}", "drift: {share: 0.5, prediction: false}"))
    train(dated, "now", None)
    dated.run("promote", "p1")
    log_predictions(dated, "1", "2026-03-01T00:00:00Z", shift=0)
    assert run(dated, "monitor", "before", None).facts["breached"] is False
    log_predictions(dated, "1", "2026-05-01T00:00:00Z", shift=500)
    dated.write(DATED.replace("drift: {share: 0.5}", "window_days: 10, drift: {share: 0.5, prediction: false}"))
    today = run(dated, "monitor", "today", None)
    assert today.facts["breached"] is True
    past = run(dated, "monitor", "past", "2026-04-01T00:00:00+00:00", backfill=True)
    assert (past.facts["breached"], past.facts["window_end"]) == (False, "2026-04-01T00:00:00+00:00")
    none = run(dated, "monitor", "none", "2026-02-01T00:00:00+00:00", backfill=True)
    assert "0 predictions" in str(none.facts["reason"])


def test_a_run_parameter_takes_effect_is_fingerprinted_and_tracked(dated: Bank) -> None:
    given = check_parameters("train", {"params": {"max_iter": 77}, "seed": 5, "window_days": 50})
    seen = apply_parameters(dated.pipeline, "train", given).model_dump(mode="json")
    plain, changed = train(dated, "plain", None), train(dated, "changed", None, spec=seen, params=given)
    assert (plain["ingest"].facts["rows"], changed["ingest"].facts["rows"]) == (400, 200)
    assert not changed["train"].reused_from
    tracked = dated.ports.experiment_tracker.load_model(str(changed["train"].facts["model_uri"]))
    assert tracked[-1].max_iter == 77
    (model,) = changed["register"].lineage_outputs
    facet: Any = model.facets["airloom_model"]
    assert facet["params"]["max_iter"] == 77
    assert train(dated, "same", None, spec=seen, params=given)["train"].reused_from


def test_a_rollback_returns_to_the_champion_that_was_asked_for(dated: Bank) -> None:
    for number in (1, 2, 3):
        make_loans().assign(at=str(FIRST)).tail(400 - number).to_csv(dated.folder / "loans.csv", index=False)
        train(dated, f"t{number}", None)
        if number != 2:
            dated.run("promote", f"p{number}")
    refused = dated.run("rollback", "r0", version="2")
    assert refused.failure
    assert "never was champion" in refused.failure.message
    already = dated.run("rollback", "r1", version="3")
    assert already.failure
    assert "is the champion already" in already.failure.message
    assert dated.run("rollback", "r2", version="1").facts["model_version"] == "1"
    champion = dated.ports.model_registry.find("credit.loans", "champion")
    assert champion
    assert champion.version == "1"
