"""A pipeline's DAGs: their schedules, tasks and assets; the same file always gives the same DAG."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.exceptions import ParamValidationError
from airflow.sdk import DAG, Asset
from airflow.serialization.serialized_objects import DagSerialization
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom_airflow.bundles.pipeline_file import build_dags
from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator
from airloom_airflow.sensors.drift import DriftSensor


def build(root: Path, text: str = FULL) -> dict[str, DAG]:
    path = write_pipeline(root, "whole", text=text)
    return {name.removeprefix("ops__whole__"): dag for name, dag in build_dags(str(path), root=str(root)).items()}


def serialise(dag: DAG) -> str:
    document = DagSerialization.to_dict(dag)
    document["dag"].pop("fileloc")  # of this test
    return json.dumps(document, sort_keys=True)


def summarise_schedule(dag: DAG) -> str:
    """As the scheduler has it and the web UI shows it."""
    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable.summary


def uris(assets: list[Asset]) -> list[str]:
    return [asset.uri for asset in assets]


def test_the_train_dag_runs_every_stage_in_order(pipelines):
    dag = build(pipelines)["train"]
    assert [task.task_id for task in dag.topological_sort()] == [
        *("ingest", "validate", "features", "train", "evaluate", "test", "gate", "register")
    ]
    assert uris(dag.get_task("ingest").outlets) == ["airloom://ops/whole/dataset"]
    assert uris(dag.get_task("register").outlets) == ["airloom://ops/whole/model"]
    assert dag.get_task("register").upstream_task_ids == {"gate"}


def test_training_starts_by_cron_or_by_drift(pipelines):
    dag = build(pipelines)["train"]
    assert summarise_schedule(dag) == "Asset or 0 0 * * 0"
    assert "airloom://ops/whole/drift" in json.dumps(DagSerialization.to_dict(dag)["dag"]["timetable"])


@pytest.mark.parametrize(
    ("family", "told"),
    [("monitor", "0 0 * * *"), ("promote", "Asset"), ("rollback", "None")],
)
def test_each_family_has_its_schedule(pipelines, family, told):
    assert summarise_schedule(build(pipelines)[family]) == told


def test_a_promotion_is_asked_for_by_a_new_model(pipelines):
    timetable = DagSerialization.to_dict(build(pipelines)["promote"])["dag"]["timetable"]
    assert "airloom://ops/whole/model" in json.dumps(timetable)


def test_a_dag_tells_whose_it_is_and_what_it_does(pipelines):
    for family, dag in build(pipelines).items():
        assert {"ops", "demo", family} == set(dag.tags)
        assert dag.description.startswith("Whole – ")
        assert "ops/whole.yaml" in dag.doc_md
        assert dag.max_active_runs == 1
        assert dag.catchup is False
        assert {task.owner for task in dag.tasks} == {"somebody"}


def test_tasks_retry_as_the_pipeline_says(pipelines):
    for dag in build(pipelines).values():
        assert {(task.retries, task.retry_delay.total_seconds()) for task in dag.tasks} == {(3, 7.0)}


def test_the_drift_task_is_retried_at_least_once(pipelines):
    dag = build(pipelines, FULL.replace("retries: 3", "retries: 0"))["monitor"]
    sensor = dag.get_task("drift")
    assert isinstance(sensor, DriftSensor)
    assert sensor.retries == 1
    assert uris(sensor.outlets) == ["airloom://ops/whole/drift"]
    assert sensor.upstream_task_ids == {"monitor"}


def test_without_retraining_there_is_no_drift_task(pipelines):
    dags = build(pipelines, FULL.replace("monitor: {{", "monitor: {{on_breach: alert, "))
    assert dags["monitor"].task_ids == ["monitor"]
    assert "drift" not in json.dumps(DagSerialization.to_dict(dags["train"])["dag"]["timetable"])


def test_the_same_file_serialises_the_same(pipelines):
    first, second = build(pipelines), build(pipelines)
    for family, dag in first.items():
        assert serialise(dag) == serialise(second[family])


def test_another_parameter_is_another_dag(pipelines):
    """So that Airflow keeps a new version of the DAG."""
    first = build(pipelines)["train"]
    second = build(pipelines, FULL.replace("max_disagreement: 0.5", "max_disagreement: 0.4"))["train"]
    assert serialise(first) != serialise(second)


def test_the_serialised_dag_is_whole_and_carries_no_pipeline(pipelines):
    for dag in build(pipelines).values():
        document = DagSerialization.to_dict(dag)
        assert "LogisticRegression" not in json.dumps(document)
        back = DagSerialization.from_dict(document)
        assert back.task_ids == dag.task_ids


def test_a_stage_shows_the_links_that_it_can_give(pipelines):
    back = DagSerialization.from_dict(DagSerialization.to_dict(build(pipelines)["train"]))
    assert {task.task_id: task.extra_links for task in back.tasks if task.extra_links} == {
        "ingest": ["Dataset manifest"],
        "validate": ["Data docs"],
        "train": ["MLflow run"],
    }


def test_every_stage_is_a_process(pipelines):
    tasks = [task for dag in build(pipelines).values() for task in dag.tasks if task.task_id != "drift"]
    assert {type(task) for task in tasks} == {StageSubprocessOperator}


def test_promotion_takes_a_version_and_refuses_what_is_none(pipelines):
    dag = build(pipelines)["promote"]
    assert dag.params.validate() == {"version": None}
    document = DagSerialization.to_dict(dag)["dag"]["params"]
    assert "version" in json.dumps(document)
    dag.params["version"] = "3"
    with pytest.raises(ParamValidationError):
        dag.params["version"] = 3
