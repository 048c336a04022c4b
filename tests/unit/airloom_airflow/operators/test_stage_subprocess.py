"""A stage as a process: what it is told, how its end becomes the task's, and that it does not outlive the task."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.sdk.log import redact
from tests.unit.airloom_airflow import fake_stage
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline

from airloom.errors import ConfigError
from airloom.protocol import launch as launching
from airloom.protocol.context import result_uri, run_folder
from airloom.spec import load_pipeline
from airloom_airflow.operators import stage_context, stage_subprocess
from airloom_airflow.operators.attempt import build_attempt
from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator, build_stage_environ
from airloom_airflow.public_names import AirflowException, AirflowFailException

RUN_ID = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture
def stage_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the stages' Python: the fake stage as an executable."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable} -S\n{Path(fake_stage.__file__).read_text()}")
    python.chmod(0o755)
    monkeypatch.setenv("AIRLOOM_STAGE_PYTHON", str(python))
    return python


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = (tmp_path / "artifacts").as_uri()
    monkeypatch.setenv("AIRLOOM_ARTIFACTS_URI", uri)
    return uri


@pytest.fixture
def make_operator(pipelines: Path, stage_python: Path, artifacts: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage_context, "find_lineage_parent", lambda _: None)
    pipeline = load_pipeline(write_pipeline(pipelines, "whole", text=FULL), root=pipelines)

    def make(stage: str = "train", earlier: tuple[str, ...] = ("ingest", "validate")) -> StageSubprocessOperator:
        return StageSubprocessOperator(task_id=stage, pipeline=pipeline, earlier=earlier)

    return make


def build_context(conf: dict[str, Any] | None = None) -> Any:
    end = datetime(2026, 1, 2, tzinfo=UTC)
    run = SimpleNamespace(dag_id="of_somebodys_own", run_type="manual", conf=conf, data_interval_end=end)
    return {"run_id": RUN_ID, "dag_run": run, "ti": SimpleNamespace(try_number=2, dag_id="ops__whole__train")}


def run(operator: StageSubprocessOperator, conf: dict[str, Any] | None = None) -> str:
    return operator.execute.__wrapped__(operator, build_context(conf))


def test_a_stage_is_told_its_run_its_inputs_and_its_parameters(make_operator, artifacts, tmp_path):
    conf = {"version": "3", "left_out": None, "told_file": str(tmp_path / "told.json")}
    before = build_attempt()
    run(make_operator(), conf)
    told = json.loads((tmp_path / "told.json").read_text())["context"]
    run_uri = f"{artifacts}/ops/whole/runs/{run_folder(RUN_ID)}"
    assert (told["team"], told["pipeline"], told["stage"]) == ("ops", "whole", "train")
    assert before <= told["attempt"] <= build_attempt()
    assert told["run_id"] == RUN_ID
    assert told["inputs"] == {stage: result_uri(run_uri, stage) for stage in ("ingest", "validate")}
    assert told["params"] == {"version": "3", "told_file": conf["told_file"]}
    assert told["data_interval_end"] == "2026-01-02T00:00:00+00:00"
    assert told["spec"]["spec"]["train"]["estimator"] == "sklearn.linear_model.LogisticRegression"


def test_a_stage_sees_nothing_of_airflows_secrets(make_operator, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("AIRLOOM_SECRET_DB", "needed")
    run(make_operator(), {"told_file": str(tmp_path / "told.json")})
    told = json.loads((tmp_path / "told.json").read_text())["environ"]
    assert "AIRLOOM_SECRET_DB" in told
    assert [name for name in told if "FERNET" in name or "SQL_ALCHEMY" in name or "JWT" in name] == []
    assert build_stage_environ({"_AIRFLOW_X": "1", "AIRFLOW_HOME": "2", "PATH": "3"}) == {"PATH": "3"}


CLUSTER_FILE = """\
apiVersion: airloom.io/v1
kind: Cluster
spec:
  images: {cpu: unused}
  secrets: [of-kubernetes, {name: HF, variable: hf}]
  teams:
    ops: {secrets: [{name: PGHOST, conn_id: warehouse, field: host}]}
    research: {secrets: [{name: OTHERS, variable: others}]}
"""


def test_a_stage_gets_the_secrets_of_its_team_that_airflow_has_and_they_are_masked(
    make_operator, monkeypatch, tmp_path, capsys
):
    (tmp_path / "cluster.yaml").write_text(CLUSTER_FILE)
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
    monkeypatch.setenv("AIRFLOW_VAR_HF", "the-processes-token")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://db.example")
    started: dict[str, str] = {}
    launch = launching.launch_stage

    def remember(*args: Any, **more: Any) -> Any:
        started.update(more["environ"])
        return launch(*args, **more)

    monkeypatch.setattr(launching, "launch_stage", remember)
    run(make_operator(), {"told_file": str(tmp_path / "told.json")})
    told = json.loads((tmp_path / "told.json").read_text())["environ"]
    assert {"HF", "PGHOST", "AIRLOOM_MASKED_VARIABLES"} <= {*told}
    assert "OTHERS" not in told
    assert started["HF"] == "the-processes-token"
    assert (started["PGHOST"], started["AIRLOOM_MASKED_VARIABLES"]) == ("db.example", "HF")
    assert redact("the-processes-token") == "***"
    assert "it gets nothing of the Kubernetes Secrets of-kubernetes" in capsys.readouterr().out


def test_a_secret_that_airflow_does_not_have_is_retried(make_operator, monkeypatch, tmp_path):
    (tmp_path / "cluster.yaml").write_text(CLUSTER_FILE)
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
    with pytest.raises(AirflowException, match="Airflow variable 'hf', for the variable HF, cannot be had") as raised:
        run(make_operator())
    assert not isinstance(raised.value, AirflowFailException)


def test_the_tasks_value_is_where_the_result_is(make_operator, artifacts):
    uri = run(make_operator())
    assert uri == result_uri(f"{artifacts}/ops/whole/runs/{run_folder(RUN_ID)}", "train")


@pytest.mark.parametrize(
    ("behaviour", "raised", "message"),
    [
        ("permanent", AirflowFailException, "train failed for a permanent reason"),
        ("transient", AirflowException, "train failed for a transient reason"),
        ("lost", AirflowException, "SIGKILL"),
    ],
)
def test_a_failure_is_retried_only_where_that_may_help(make_operator, behaviour, raised, message):
    with pytest.raises(AirflowException, match=message) as caught:
        run(make_operator(), {"behaviour": {"train": behaviour}})
    assert type(caught.value) is raised


@pytest.mark.parametrize("behaviour", ["succeed", "permanent", "transient"])
def test_links_are_shown_whatever_the_end(make_operator, artifacts, behaviour):
    operator = make_operator()
    conf = {"behaviour": {"train": behaviour}, "links": {"train": {"MLflow run": "http://mlflow/1"}}}
    if behaviour == "succeed":
        run(operator, conf)
    else:
        with pytest.raises(AirflowException):
            run(operator, conf)
    [link] = operator.operator_extra_links
    assert link.get_link(operator, ti_key=None) == "http://mlflow/1"


def test_an_object_of_the_store_is_linked_by_the_artifacts_endpoint(make_operator, artifacts):
    operator = make_operator("ingest", ())
    run(operator, {"links": {"ingest": {"Dataset manifest": f"{artifacts}/ops/whole/a%20b.json"}}})
    [link] = operator.operator_extra_links
    assert link.get_link(operator, ti_key=None) == "/airloom/artifacts/ops/whole/a%20b.json"


def test_a_place_outside_the_store_is_not_linked(make_operator):
    operator = make_operator("ingest", ())
    run(operator, {"links": {"ingest": {"Dataset manifest": "file:///etc/passwd"}}})
    [link] = operator.operator_extra_links
    assert link.get_link(operator, ti_key=None) == ""


def test_without_a_stage_python_the_task_fails_at_once(make_operator, monkeypatch):
    monkeypatch.delenv("AIRLOOM_STAGE_PYTHON")
    with pytest.raises(AirflowFailException, match="AIRLOOM_STAGE_PYTHON") as caught:
        run(make_operator())
    assert isinstance(caught.value.__cause__, ConfigError)


def test_a_stage_does_not_outlive_its_ended_task(make_operator, tmp_path):
    """As Airflow ends a task: SIGTERM, whose handler calls `on_kill` in the main thread."""
    operator, pid_file = make_operator(), tmp_path / "pid"
    told = threading.Event()

    def end_once_it_runs() -> None:
        while not pid_file.exists() or not pid_file.read_text():
            told.wait(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    interrupt = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=end_once_it_runs)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(operator, {"behaviour": {"train": "hang"}, "pid_file": str(pid_file)})
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        thread.join()
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_ending_a_task_that_runs_no_stage_does_nothing(make_operator):
    make_operator().on_kill()


def test_a_stages_parent_is_its_tasks_run():
    task_instance = RuntimeTaskInstance.model_construct(
        dag_id="ops__whole__train", task_id="train", run_id=RUN_ID, try_number=1, map_index=-1
    )
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    run = SimpleNamespace(
        logical_date=moment, run_after=moment, clear_number=0, conf={}, run_id=RUN_ID, dag_id="ops__whole__train"
    )
    context = {"dag_run": run}
    object.__setattr__(task_instance, "get_template_context", lambda: context)
    parent = stage_context.find_lineage_parent(task_instance)
    assert parent is not None
    assert (parent.namespace, parent.name) == ("airloom", "ops__whole__train.train")
    assert parent.root_name == "ops__whole__train"
    assert parent.run_id != parent.root_run_id
    assert stage_subprocess.STAGE_LINKS["train"][0].xcom_key == "airloom_link_mlflow_run"
