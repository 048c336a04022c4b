"""A schedule that Airflow would refuse is a finding with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.errors import SpecError
from airloom.spec import load_pipeline
from airloom.spec.cron import check_cron

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: one, team: ops}
spec:
  data:
    sources:
      rows: {type: parquet, path: rows.parquet}
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression}
  monitor:
    schedule: "0 25 * * *"
"""


def test_a_cron_that_is_none_is_a_finding_with_line_and_column(tmp_path: Path):
    path = tmp_path / "one.yaml"
    path.write_text(PIPELINE)
    with pytest.raises(SpecError) as caught:
        load_pipeline(path)
    [finding] = caught.value.findings
    assert (finding.line, finding.column, finding.path) == (10, 5, "spec.monitor.schedule")
    assert "given '0 25 * * *', which is no cron" in finding.message
    assert "give minute, hour" in finding.message


@pytest.mark.parametrize("cron", ["0 6 * * 1", "*/5 * * * *", "@daily", "@quarterly", "0 0 29 2 *", "0 0 L * mon-fri"])
def test_a_cron_stays_as_it_was_written(cron: str):
    assert check_cron(cron) == cron


@pytest.mark.parametrize(
    "cron", ["", "daily", "@once", "@continuous", "* * *", "61 * * * *", "*/0 * * * *", "H * * * *"]
)
def test_what_airflow_would_refuse_is_refused(cron: str):
    with pytest.raises(ValueError, match="which is no cron"):
        check_cron(cron)


def test_a_day_that_never_comes_is_refused():
    with pytest.raises(ValueError, match="never comes"):
        check_cron("0 0 30 2 *")


@pytest.mark.parametrize("cron", ["0 6 1 1 * 0 2025", "0 6 * * * 0 2026-2028", "R R * * *", "R(1-5) 6 * * *"])
def test_years_and_random_times_are_refused(cron: str):
    """Airflow's scheduler stops at a DAG whose years are over, with a line in its log alone."""
    with pytest.raises(ValueError, match="leave out the field of years"):
        check_cron(cron)
