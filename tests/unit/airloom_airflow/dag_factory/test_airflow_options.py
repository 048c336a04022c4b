"""Airflow's own ways, from the pipeline file: options of tasks and DAGs, schedules, parameters, documentation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction
from tests.unit.airloom_airflow.dag_factory.test_dag_factory import build, serialise
from tests.unit.airloom_airflow.pipelines import FULL

from airloom.errors import SpecError
from airloom.spec.parameters import PARAMETERS

ONE_OF_ALL = """\
  airflow:
    timezone: Europe/Vienna
    start_date: 2026-01-31
    default_args: {{pool: models, queue: cpu}}
    tasks:
      train: {{pool: gpus, priority_weight: 7, execution_timeout_seconds: 90}}
      drift: {{queue: small}}
    dags:
      train: {{max_active_runs: 3, catchup: true, deadline_seconds: 600}}
  notify:
    late: [{{notifier: nowhere.to_be.Found, args: {{to: ops}}}}]
"""


def build_with(root: Path, extra: str) -> dict[str, DAG]:
    return build(root, FULL + extra)


def timetable(dag: DAG) -> str:
    return json.dumps(DagSerialization.to_dict(dag)["dag"]["timetable"])


def test_a_task_has_its_own_options_over_those_of_every_task(pipelines):
    dags = build_with(pipelines, ONE_OF_ALL)
    train = dags["train"].get_task("train")
    assert (train.pool, train.queue, train.priority_weight) == ("gpus", "cpu", 7)
    assert train.execution_timeout.total_seconds() == 90
    others = [task for dag in dags.values() for task in dag.tasks if task.task_id != "train"]
    assert {task.pool for task in others} == {"models"}
    assert {task.execution_timeout for task in others} == {None}
    assert dags["monitor"].get_task("drift").queue == "small"


def test_a_task_names_its_executor(pipelines):
    dags = build_with(pipelines, "  airflow: {{tasks: {{score: {{executor: KubernetesExecutor}}}}}}\n")
    assert dags["score"].get_task("score").executor == "KubernetesExecutor"
    assert dags["train"].get_task("train").executor is None


def test_a_family_has_its_own_options(pipelines):
    dags = build_with(pipelines, ONE_OF_ALL)
    assert (dags["train"].max_active_runs, dags["train"].catchup) == (3, True)
    assert (dags["monitor"].max_active_runs, dags["monitor"].catchup) == (1, False)
    assert dags["train"].start_date == datetime(2026, 1, 31, tzinfo=ZoneInfo("Europe/Vienna")).astimezone(UTC)
    assert "Europe/Vienna" in timetable(dags["train"])


def test_a_deadline_survives_serialisation_and_loads_no_notifier(pipelines):
    dag = build_with(pipelines, ONE_OF_ALL)["train"]
    [alert] = dag.deadline
    assert alert.interval.total_seconds() == 600
    assert alert.callback.path == "airloom_airflow.notifications.late.notify_late"
    assert alert.callback.kwargs["path"] == "nowhere.to_be.Found"
    assert "nowhere.to_be.Found" in json.dumps(DagSerialization.to_dict(dag), default=str)


def test_without_options_airflow_decides(pipelines):
    dag = build(pipelines)["train"]
    assert dag.start_date is None
    assert dag.deadline is None
    assert {(task.pool, task.queue, task.executor) for task in dag.tasks} == {("default_pool", "default", None)}
    assert not any(task.on_failure_callback or task.on_success_callback for task in dag.tasks)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("{{assets: [s3://lake/flights]}}", ["s3://lake/flights"]),
        ("{{assets: [flights, s3://lake/weather], when: all}}", ["flights", "s3://lake/weather", "asset_all"]),
        ("{{aliases: [landed]}}", ["landed", "alias"]),
        ('{{cron: "0 0 * * *", assets: [flights]}}', ["flights", "0 0 * * *", "AssetOrTimeSchedule"]),
    ],
)
@pytest.mark.parametrize("family", ["train", "monitor"])
def test_others_assets_start_a_dag(pipelines, family, schedule, told):
    before = '  schedule: "@weekly"' if family == "train" else 'schedule: "@daily"'
    after = f"  schedule: {schedule}" if family == "train" else f"schedule: {schedule}"
    text = timetable(build(pipelines, FULL.replace(before, after))[family])
    assert [word for word in told if word not in text] == []
    assert ("airloom://ops/whole/drift" in text) == (family == "train")  # drift alone starts a training, beside them


def test_a_schedule_of_others_assets_is_read_back(pipelines):
    text = FULL.replace('schedule: "@weekly"', "schedule: {{assets: [flights, s3://lake/w], aliases: [a], when: all}}")
    dag = build(pipelines, text)["train"]
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    drift, others = back.timetable.asset_condition.as_expression()["any"]
    assert drift["asset"]["uri"] == "airloom://ops/whole/drift"
    flights, weather, alias = others["all"]
    assert (flights, weather) == ({"asset_ref": {"name": "flights"}}, {"asset_ref": {"uri": "s3://lake/w"}})
    assert alias["alias"]["name"] == "a"


@pytest.mark.parametrize("family", ["train", "features", "score", "monitor", "promote", "rollback"])
def test_a_trigger_form_has_every_parameter_of_its_family(pipelines, family):
    dag = build(pipelines)[family]
    assert list(dag.params) == list(PARAMETERS[family].model_fields)
    assert set(dag.params.validate().values()) <= {None}
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).params.validate() == dag.params.validate()


@pytest.mark.parametrize(
    ("family", "good", "bad"),
    [
        ("train", {"params": {"max_iter": 10}, "seed": 4, "window_days": 2.5}, {"params": 5}),
        ("train", {"window_end": "2026-01-01T00:00:00Z"}, {"seed": "four"}),
        ("train", {}, {"window_days": 0}),
        ("promote", {"version": "3"}, {"version": 3}),
        ("rollback", {"version": "3"}, {"version": "three"}),
        ("score", {"source": {"type": "parquet", "path": "a"}}, {"sink": "a.parquet"}),
        ("monitor", {"window_days": 1}, {"window_end": 2026}),
    ],
)
def test_a_trigger_is_refused_by_type_before_anything_starts(pipelines, family, good, bad):
    """As Airflow's API server checks it: on the serialised DAG."""
    dag = DagSerialization.from_dict(DagSerialization.to_dict(build(pipelines)[family]))
    assert good.items() <= dag.params.deep_merge(good).validate().items()
    with pytest.raises((ParamValidationError, ValueError), match=next(iter(bad))):
        dag.params.deep_merge(bad).validate()


def test_a_dag_tells_when_it_starts_its_limits_and_its_parameters(pipelines):
    dags = build_with(pipelines, ONE_OF_ALL)
    told: dict[str, Any] = {family: dag.doc_md for family, dag in dags.items()}
    for words in (
        "by cron `@weekly` (Europe/Vienna), by an update of `airloom://ops/whole/drift`, or by hand",
        "from 2026-01-31 on, and makes up for those missed",
        "`ingest` → `validate` → `features` → `train`",
        "`roc_auc_score` must be at least 0.6",
        "at most 50% of the decisions",
        "at most 3 runs at once",
        "late 600 s after it was queued",
        "- `seed`: Instead of `train.seed`.",
    ):
        assert words in told["train"]
    assert "drift of 50% of the columns or of the predictions" in told["monitor"]
    assert "none again within 60 minutes" in told["monitor"]
    assert "`version`" in told["promote"]
    assert "**Starts** by hand." in told["rollback"]
    assert "by an update of `airloom://ops/whole/model`" in told["promote"]


def test_the_documentation_and_the_options_are_the_same_every_time(pipelines):
    first, second = build_with(pipelines, ONE_OF_ALL), build_with(pipelines, ONE_OF_ALL)
    for family, dag in first.items():
        assert serialise(dag) == serialise(second[family])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("  airflow: {{tasks: {{trian: {{pool: a}}}}}}\n", "did you mean 'train'"),
        ("  airflow: {{tasks: {{train: {{pol: a}}}}}}\n", "did you mean 'pool'"),
        ("  airflow: {{timezone: Europe/Wien}}\n", "Europe/Vienna"),
        ("  airflow: {{start_date: soon}}\n", "2026-01-31"),
        ("  airflow: {{dags: {{train: {{catchup: true}}}}}}\n", "needs start_date"),
        ("  airflow: {{start_date: 2026-01-01, dags: {{monitor: {{catchup: true}}}}}}\n", "airflow backfill create"),
        ("  airflow: {{dags: {{train: {{deadline_seconds: 5}}}}}}\n", "notify.late"),
        ("  notify: {{failure: [{{notifier: SmtpNotifier}}]}}\n", "dotted path"),
        (
            "  notify: {{failure: [{{notifier: a.B, arguments: {{}}}}]}}\n",
            "did you mean 'args'? allowed: args, notifier",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_words(pipelines, extra, words):
    with pytest.raises(SpecError, match=r"whole\.yaml:\d+:\d+") as caught:
        build_with(pipelines, extra)
    assert words in str(caught.value)


def test_airflow_takes_what_the_bounds_of_the_pipeline_file_allow(pipelines):
    """At each bound: the DAGs are built, read back as the scheduler does, and their dates can be counted."""
    text = (
        FULL.replace("retry_delay_seconds: 7", "retry_delay_seconds: 3153600000")
        .replace("retries: 3", "retries: 2147483647")
        .replace("tags: [demo]", f"tags: [{'t' * 100}]")
        .replace('schedule: "@weekly"', f'schedule: {{{{cron: "@yearly", aliases: [{"a" * 1500}]}}}}')
    )
    extra = """\
  airflow:
    timezone: Europe/Vienna
    start_date: {year}
    tasks: {{{{train: {{{{execution_timeout_seconds: 3153600000, priority_weight: 2147483647}}}}}}}}
    dags: {{{{train: {{{{catchup: true, deadline_seconds: 3153600000, max_active_runs: 2147483647}}}}}}}}
  notify: {{{{late: [{{{{notifier: a.B}}}}]}}}}
"""
    for year in ("1900-01-01", "2999-12-31T23:59:59"):
        dag = build(pipelines, text + extra.format(year=year))["train"]
        back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert back.timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(back.start_date, None, True)
        )
        assert datetime.now(tz=UTC) + dag.get_task("train").retry_delay + dag.deadline[0].interval
