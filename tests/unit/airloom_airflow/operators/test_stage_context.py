"""What a stage is told of its run: checked parameters, the window that it works on, whether it is a backfill."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.openlineage import conf, plugins
from airflow.sdk.exceptions import AirflowFailException
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.protocol import StageContext
from airloom.settings import load_settings
from airloom.spec import Pipeline, load_pipeline
from airloom_airflow.operators import stage_context
from airloom_airflow.operators.stage_context import build_stage_context

END = datetime(2026, 1, 2, tzinfo=UTC)
DATED = FULL.replace("  data:\n", "  data:\n    timestamp: at\n")


@pytest.fixture
def pipeline(pipelines: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(stage_context, "find_lineage_parent", lambda _: None)
    return load(pipelines, DATED)


def load(pipelines: Path, text: str) -> Pipeline:
    return load_pipeline(write_pipeline(pipelines, "whole", text=text), root=pipelines)


def tell(pipeline: Pipeline, stage: str, dag_id: str = "ops__whole__train", **run: Any) -> StageContext:
    given = {"dag_id": dag_id, "run_type": "manual", "conf": {}, "data_interval_end": END, **run}
    ti = SimpleNamespace(try_number=1, dag_id=given["dag_id"])
    context: Any = {"run_id": "r", "dag_run": SimpleNamespace(**given), "ti": ti}
    return build_stage_context(pipeline, stage, (), load_settings(), context)


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
@pytest.mark.parametrize(
    ("stage", "family"), [("ingest", "train"), ("train", "train"), ("score", "score"), ("monitor", "monitor")]
)
def test_a_run_for_an_interval_ends_its_window_there(pipeline, stage, family, run_type):
    told = tell(pipeline, stage, f"ops__whole__{family}", run_type=run_type)
    assert told.window_end == "2026-01-02T00:00:00+00:00"
    assert told.backfill is (run_type == "backfill")
    assert told.window_asked is (run_type == "backfill")


@pytest.mark.parametrize(("run_type", "end"), [("manual", END), ("asset_triggered", END), ("scheduled", None)])
def test_other_runs_work_on_what_is_there_now(pipeline, run_type, end):
    """Airflow gives a run by hand an interval too, where somebody names a logical date."""
    told = tell(pipeline, "ingest", run_type=run_type, data_interval_end=end)
    assert (told.window_end, told.window_asked) == (None, False)


@pytest.mark.parametrize("family", ["features", "promote", "rollback"])
def test_what_works_on_today_has_no_window(pipeline, family):
    stage = "ingest" if family == "features" else family
    assert tell(pipeline, stage, f"ops__whole__{family}", run_type="backfill").window_end is None


def test_a_window_that_was_asked_for_goes_before_the_interval(pipeline):
    told = tell(pipeline, "ingest", run_type="scheduled", conf={"window_end": "2025-06-01T02:00:00+02:00"})
    assert told.window_end == "2025-06-01T02:00:00+02:00"
    assert told.window_asked


@pytest.mark.parametrize(("stage", "family"), [("ingest", "train"), ("score", "score")])
def test_rows_without_a_time_cannot_be_gone_back_to(pipelines, pipeline, stage, family):
    undated = load(pipelines, FULL)
    with pytest.raises(AirflowFailException, match=rf"a backfill of {family} goes by the rows' time.*data\.timestamp"):
        tell(undated, stage, f"ops__whole__{family}", run_type="backfill")
    assert tell(undated, "monitor", "ops__whole__monitor", run_type="backfill").window_end  # what was logged has a time
    assert tell(undated, stage, f"ops__whole__{family}", run_type="scheduled").window_end


def test_a_stage_that_the_pipeline_lacks_fails_the_task_for_good(pipelines, pipeline):
    with pytest.raises(AirflowFailException, match=r"ops\.whole has no stage 'test'; it has ingest, "):
        tell(load(pipelines, DATED.replace("  test: {{max_disagreement: 0.5}}\n", "")), "test", "their_dag")


def test_an_unknown_parameter_fails_the_task_for_good(pipeline):
    with pytest.raises(AirflowFailException, match="did you mean 'version'"):
        tell(pipeline, "promote", "ops__whole__promote", conf={"versoin": 3})


def test_a_parameter_changes_the_pipeline_that_the_stage_sees(pipeline):
    told = tell(pipeline, "train", conf={"params": {"C": 3}, "seed": None})
    spec: Any = told.spec["spec"]
    assert (spec["train"]["params"], told.params) == ({"C": 3}, {"params": {"C": 3}})


def test_somebodys_own_dag_may_be_started_with_more_than_a_stage_knows(pipeline):
    told = tell(pipeline, "train", "their_dag", conf={"report_to": "us", "seed": 4})
    spec: Any = told.spec["spec"]
    assert spec["train"]["seed"] == 4
    assert told.params == {"report_to": "us", "seed": 4}
    with pytest.raises(AirflowFailException, match="seed"):
        tell(pipeline, "train", "their_dag", conf={"seed": "many"})


def test_where_openlineage_is_off_a_task_does_not_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conf, "is_disabled", lambda: True)
    monkeypatch.delattr(plugins, "macros", raising=False)
    monkeypatch.setitem(sys.modules, f"{plugins.__name__}.macros", None)  # to load it would fail
    assert stage_context.find_lineage_parent(SimpleNamespace()) is None


@pytest.mark.parametrize("other", ["features", "nightly_checks"])
def test_two_dags_with_the_same_run_id_keep_their_results_apart(pipeline, other):
    """Airflow makes one id for the runs of every DAG with the same cron; both DAGs here run `ingest`."""
    training, another = tell(pipeline, "ingest"), tell(pipeline, "ingest", f"ops__whole__{other}")
    assert training.run_uri != another.run_uri
    assert training.run_id == "r", "a model is found by Airflow's id of its training"
