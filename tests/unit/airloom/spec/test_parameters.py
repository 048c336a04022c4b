"""What a run may be started with: what is refused, in which words, and what takes effect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airloom.errors import RunParameterError
from airloom.spec import load_pipeline
from airloom.spec.orchestration import FAMILIES, Family
from airloom.spec.parameters import (
    PARAMETERS,
    apply_parameters,
    build_forms,
    check_parameters,
    find_family,
    guess_family,
    read_moment,
)
from airloom.spec.pipeline import Pipeline
from airloom.spec.section import MOMENT

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: loans, team: credit}
spec:
  data:
    sources: {rows: {type: parquet, path: rows.parquet}}
    timestamp: at
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression, params: {C: 2, max_iter: 5}}
  score: {source: {type: parquet, path: a.parquet}, sink: {type: parquet, path: b.parquet}}
  monitor: {drift: {}, window_days: 3}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load(tmp_path, TEXT)


def load(folder: Path, text: str) -> Pipeline:
    path = folder / "credit" / "loans.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_pipeline(path)


@pytest.mark.parametrize("path", ["", ".", "./", "  ", "/", "./.", "a\0b"])
@pytest.mark.parametrize(
    ("part", "rest"),
    [
        ("source", {"type": "csv"}),
        ("source", {"type": "parquet"}),
        ("source", {"type": "batches"}),
        ("source", {"type": "package", "package": "flights"}),
        ("sink", {"type": "parquet"}),
        ("sink", {"type": "sql", "table": "scores"}),
    ],
)
def test_a_path_that_names_no_file_is_refused_before_anything_starts(
    tmp_path: Path, part: str, rest: dict[str, str], path: str
) -> None:
    key = "database" if rest["type"] == "sql" else "path"
    words = rf"{part}\.{key}: given {re.escape(repr(path.strip()))}, which names no file; give a file's path"
    with pytest.raises(RunParameterError, match=words):
        check_parameters("score", {part: {**rest, key: path}})
    with pytest.raises(ValidationError, match="which names no file"):
        Pipeline.model_validate(with_score(tmp_path, {part: {**rest, key: path}}))


def with_score(folder: Path, changed: dict[str, Any]) -> dict[str, Any]:
    """The pipeline with another source or sink of `score`."""
    data = load(folder, TEXT).model_dump(mode="json")
    data["spec"]["score"] |= changed
    return data


@pytest.mark.parametrize(
    ("family", "given", "words"),
    [
        ("promote", {"versoin": 3}, "unknown key 'versoin'; did you mean 'version'? allowed: version"),
        ("promote", {"version": 3}, "given 3; give text"),
        ("rollback", {"version": "three"}, "give a model version's number"),
        ("train", {"max_iter": 10}, 'into params: {"params": {"max_iter": …}}'),
        ("train", {"sed": 10}, "did you mean 'seed'?"),
        ("train", {"seed": -1}, "greater than or equal to 0"),
        ("train", {"seed": 2**32}, "less than or equal to 4294967295"),
        ("train", {"window_end": "yesterday"}, "2026-01-31T00:00:00Z"),
        ("features", {"seed": 1}, "it takes no parameters"),
        ("score", {"source": {"type": "sql", "query": "FROM 'x'"}}, "allowed: 'csv', 'parquet', 'package', 'batches'"),
        ("score", {"source": {"type": "parquet", "path": "/etc/x"}}, "below the data root"),
        ("score", {"source": {"type": "batches", "path": "a/../../x*"}}, "below the data root"),
        ("score", {"sink": {"type": "sql", "database": "md:x", "table": "t"}}, "below the data root"),
        ("score", {"sink": {"type": "sql", "database": {"secret": "x"}, "table": "t"}}, "pipeline file only"),
    ],
)
def test_what_a_family_does_not_take_is_refused_with_words(family: Family, given: dict[str, Any], words: str) -> None:
    with pytest.raises(RunParameterError) as caught:
        check_parameters(family, given)
    assert words in str(caught.value)
    assert family in str(caught.value)


@given(st.sampled_from(FAMILIES), st.dictionaries(st.text(min_size=1), st.integers(), min_size=1, max_size=3))
def test_no_unknown_name_passes(family: Family, given: dict[str, Any]) -> None:
    unknown = {name: value for name, value in given.items() if name not in PARAMETERS[family].model_fields}
    if unknown:
        with pytest.raises(RunParameterError):
            check_parameters(family, unknown)


def test_an_empty_form_is_no_parameter() -> None:
    for family in FAMILIES:
        assert check_parameters(family, dict.fromkeys(PARAMETERS[family].model_fields)) == {}


def test_a_time_without_a_zone_is_utc() -> None:
    assert check_parameters("monitor", {"window_end": "2026-01-31"}) == {"window_end": "2026-01-31T00:00:00+00:00"}


def test_a_training_sees_what_it_was_started_with(pipeline: Pipeline) -> None:
    seen = apply_parameters(pipeline, "train", {"params": {"max_iter": 9}, "seed": 4, "window_days": 2.0}).spec
    assert (seen.train.params, seen.train.seed, seen.data.window_days) == ({"C": 2, "max_iter": 9}, 4, 2.0)
    assert pipeline.spec.train.params == {"C": 2, "max_iter": 5}
    assert seen.monitor == pipeline.spec.monitor


def test_a_scoring_and_a_monitoring_see_what_they_were_started_with(pipeline: Pipeline) -> None:
    given = check_parameters("score", {"source": {"type": "csv", "path": "c.csv"}})
    seen = apply_parameters(pipeline, "score", given).spec.score
    assert seen
    assert pipeline.spec.score
    assert (seen.source.type, seen.sink) == ("csv", pipeline.spec.score.sink)
    watched = apply_parameters(pipeline, "monitor", {"window_days": 9.0}).spec.monitor
    assert watched
    assert watched.window_days == 9


@pytest.mark.parametrize("given", [{"window_days": 2.0}, {"window_end": "2026-01-01"}])
def test_a_window_needs_rows_with_a_time(tmp_path: Path, given: dict[str, Any]) -> None:
    pipeline = load(tmp_path, TEXT.replace("    timestamp: at\n", ""))
    with pytest.raises(RunParameterError, match="timestamp"):
        apply_parameters(pipeline, "train", check_parameters("train", given))


def test_a_pipeline_as_it_is_stays_the_very_same(pipeline: Pipeline) -> None:
    assert apply_parameters(pipeline, "train", {}) is pipeline


def test_a_dags_family_is_known_by_its_name_and_a_stages_by_who_runs_it(pipeline: Pipeline) -> None:
    assert find_family(pipeline, "credit__loans__monitor") == "monitor"
    assert find_family(pipeline, "somebodys_own") is None
    assert guess_family(pipeline, "ingest") == "train"
    assert guess_family(pipeline, "validate") is None


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_a_form_with_words(family: Family) -> None:
    forms = build_forms(family)
    assert set(forms) == set(PARAMETERS[family].model_fields)
    for description, schema in forms.values():
        assert description.endswith(".")
        assert "null" in schema["type"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_does_not_become_null(number):
    with pytest.raises(RunParameterError, match="params: given what JSON does not have"):
        check_parameters("train", {"params": {"alpha": [number]}})


@pytest.mark.parametrize(
    "given",
    [
        "2026-01-31",
        "2026-01-31T07",
        "2026-01-31 07:30",
        "2026-01-31T07:30:01Z",
        "2026-01-31T07:30:01.123456+02:00",
        "2026-01-31T07:30:01,5-0230",
    ],
)
def test_a_time_that_the_trigger_form_takes_can_be_read(given: str) -> None:
    assert re.search(MOMENT, given)
    assert read_moment(given).tzinfo


@pytest.mark.parametrize("given", ["yesterday", "2026", "2026-13-01", "2026-01-32", "2026-01-31T25:00", "2026-01-31T1"])
def test_a_time_that_cannot_be_read_is_refused_by_the_trigger_form(given: str) -> None:
    assert not re.search(MOMENT, given)
    with pytest.raises(ValueError, match="ISO 8601"):
        read_moment(given)
