"""Bounds of numbers and names: what Airflow or its database has no room for is a finding, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from airloom.errors import RunParameterError, SpecError
from airloom.spec import Pipeline, load_pipeline
from airloom.spec.cluster import load_cluster
from airloom.spec.parameters import check_parameters

FULL: dict[str, Any] = {
    "apiVersion": "airloom.io/v1",
    "kind": "Pipeline",
    "metadata": {"name": "whole", "team": "ops"},
    "spec": {
        "data": {"sources": {"rows": {"type": "parquet", "path": "rows.parquet"}}, "timestamp": "at"},
        "features": {"views": {"rows": {"entity": "id", "columns": ["a"]}}},
        "train": {"target": "y", "estimator": "sklearn.linear_model.LogisticRegression"},
        "deploy": {},
        "score": {"source": {"type": "parquet", "path": "a"}, "sink": {"type": "parquet", "path": "b"}},
        "monitor": {"drift": {}},
        "airflow": {"tasks": {"train": {}}, "dags": {"train": {}}},
        "notify": {"late": [{"notifier": "some.Notifier"}]},
    },
}
LENGTHS = {
    "spec.retry_delay_seconds": 3_153_600_000,
    "spec.data.window_days": 36_500,
    "spec.features.views.rows.ttl_hours": 876_000,
    "spec.deploy.timeout_seconds": 3_153_600_000,
    "spec.score.window_days": 36_500,
    "spec.monitor.window_days": 36_500,
    "spec.monitor.cooldown_minutes": 52_560_000,
    "spec.airflow.tasks.train.execution_timeout_seconds": 3_153_600_000,
    "spec.airflow.default_args.execution_timeout_seconds": 3_153_600_000,
    "spec.airflow.dags.train.deadline_seconds": 3_153_600_000,
}
NUMBERS = dict.fromkeys(
    ("spec.retries", "spec.airflow.dags.train.max_active_runs", "spec.airflow.tasks.train.priority_weight"),
    2_147_483_647,
)
TEXTS = {
    "metadata.owner": 500,
    "metadata.tags": 100,
    "spec.schedule.assets": 1500,
    "spec.schedule.aliases": 1500,
    "spec.monitor.schedule.assets": 1500,
    "spec.airflow.tasks.train.pool": 256,
    "spec.airflow.default_args.queue": 256,
    "spec.airflow.tasks.train.executor": 1000,
}


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The pipeline file, with a value at a path in it."""
    whole: dict[str, Any] = yaml.safe_load(yaml.safe_dump(FULL))
    *way, last = path.split(".")
    part = whole
    for key in way:
        part = part.setdefault(key, {})
    part[last] = value
    return whole


def refusal(folder: Path, path: str, value: Any) -> str:
    """What the loader says of the one thing that is wrong; the file's place is in it."""
    file = folder / "whole.yaml"
    file.write_text(yaml.safe_dump(with_value(path, value)))
    with pytest.raises(SpecError) as caught:
        load_pipeline(file)
    (finding,) = caught.value.findings
    written = file.read_text().splitlines()[finding.line - 1]
    assert written[finding.column - 1 :].strip() in yaml.safe_dump({path.rpartition(".")[2]: value}, width=10_000)
    assert finding.path.startswith(path)
    return finding.message


@pytest.mark.parametrize(("path", "most"), (LENGTHS | NUMBERS).items())
def test_a_number_that_dates_or_the_database_cannot_hold_is_refused(tmp_path: Path, path: str, most: int) -> None:
    Pipeline.model_validate(with_value(path, most))
    assert refusal(tmp_path, path, most + 1).endswith(f"; give a value less than or equal to {most}")
    assert "give a" in refusal(tmp_path, path, 10**300)


@pytest.mark.parametrize("path", LENGTHS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", float("inf"), float("nan"), 1e300])
def test_a_length_of_time_without_an_end_is_refused(tmp_path: Path, path: str, value: object) -> None:
    assert "give a" in refusal(tmp_path, path, value)


@pytest.mark.parametrize(("path", "most"), TEXTS.items())
def test_a_name_that_airflow_has_no_room_for_is_refused(tmp_path: Path, path: str, most: int) -> None:
    listed = path.endswith(("tags", "assets", "aliases"))
    Pipeline.model_validate(with_value(path, ["x" * most] if listed else "x" * most))
    for length, words in ((most + 1, f"give text of at most {most} characters"), (0, "give text that is not empty")):
        value = "x" * length
        assert refusal(tmp_path, path, [value] if listed else value).endswith(f"; {words}")


@pytest.mark.parametrize("given", ["0001-01-01", "1899-12-31", "3000-01-01", "9999-12-31T23:59:59+00:00"])
def test_a_start_date_of_another_age_is_refused(tmp_path: Path, given: str) -> None:
    words = f"given {given!r}; give a date of the years 1900 to 2999, such as 2026-01-31"
    assert refusal(tmp_path, "spec.airflow.start_date", given) == words


@pytest.mark.parametrize("family", ["train", "monitor"])
@pytest.mark.parametrize("days", [36_501, 1e300, float("inf"), float("nan")])
def test_a_run_is_started_with_no_window_that_dates_cannot_hold(family: Any, days: float) -> None:
    with pytest.raises(RunParameterError, match=r"window_days: given .*; give a "):
        check_parameters(family, {"window_days": days})


@pytest.mark.parametrize(
    "given",
    ["limits: {running_seconds: 1.0e+300}", "limits: {queueing_seconds: .inf}", "node_loss_seconds: 99999999999"],
)
def test_a_profiles_limits_are_such_as_kubernetes_takes(tmp_path: Path, given: str) -> None:
    file = tmp_path / "cluster.yaml"
    profile = f"  profiles:\n    p:\n      {given}\n"
    file.write_text(f"apiVersion: airloom.io/v1\nkind: Cluster\nspec:\n  images: {{cpu: x}}\n{profile}")
    with pytest.raises(SpecError, match=r"cluster\.yaml:7:\d+: spec\.profiles\.p\.\S+_seconds: given .*; give a "):
        load_cluster(file)
