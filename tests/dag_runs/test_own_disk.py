"""A worker that shares no disk with the DAG processor runs its task: pods of KubernetesExecutor, Celery's machines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.sdk import DAG
from tests.dag_runs.worker import ExecutionApi, run_task, start_run
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline


@pytest.fixture(scope="module")
def api(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionApi]:
    with ExecutionApi(tmp_path_factory.mktemp("api") / "log") as running:
        yield running


def test_a_task_runs_on_a_disk_that_never_saw_a_refresh(
    api: ExecutionApi, dags: Callable[..., dict[str, DAG]], tmp_path: Path
):
    dags("elsewhere")
    write_pipeline(tmp_path / "mounted", "elsewhere", text=FULL)  # where the worker's machine has the folder
    start_run("ops__elsewhere__train", "first")
    task = ("ops__elsewhere__train", "first", "ingest")
    state, log = run_task(api, task, tmp_path / "disk", AIRLOOM_PIPELINES=str(tmp_path / "mounted"))
    assert state == "success", log
    [made] = (tmp_path / "disk" / "bundles").rglob("*.py")
    assert made == tmp_path / "disk/bundles/airloom/dags/ops/elsewhere.yaml.py"


def test_tasks_that_start_at_once_on_a_disk_do_not_hinder_each_other(
    api: ExecutionApi, dags: Callable[..., dict[str, DAG]], tmp_path: Path
):
    names = ["one", "two"]
    for name in names:
        dags(name)
        start_run(f"ops__{name}__train", "first")
    ended: dict[str, tuple[str | None, str]] = {}

    def run(name: str) -> None:
        ended[name] = run_task(api, (f"ops__{name}__train", "first", "ingest"), tmp_path / "disk")

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: state for name, (state, _) in ended.items()} == dict.fromkeys(names, "success"), ended
