"""A worker as KubernetesExecutor and CeleryExecutor have it: a process elsewhere, with nothing but the execution API.

`ExecutionApi` is a real one over the tests' database. `run_task` runs a task by the command of KubernetesExecutor's
pods, with an Airflow home, a bundle storage and a database address of its own (the last leads nowhere).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.waiting import wait_until

_LIMIT_SECONDS = 90


class ExecutionApi:
    """`airflow api-server` with the execution API alone; ends with the `with` block."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = log

    def __enter__(self) -> Self:
        command = ["airflow", "api-server", "--apps", "execution", "--workers", "1"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(self.port)],
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "the execution API answers")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/execution/"

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urlopen(f"{self.url}health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def start_run(dag_id: str, run_id: str, conf: dict[str, Any] | None = None) -> None:
    """A run by hand, as the web UI makes it; no scheduler takes it up."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        found = SerializedDagModel.get(dag_id, session=session)
        assert found is not None, f"{dag_id} is not known"
        found.dag.create_dagrun(
            run_id=run_id,
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            conf=conf,
            session=session,
        )


def run_task(api: ExecutionApi, task: tuple[str, str, str], disk: Path, **environ: str) -> tuple[str | None, str]:
    """Run a task (DAG, run, task) on a disk; its state and its log."""
    dag_id, run_id, task_id = task
    workload = _queue(dag_id, run_id, task_id)
    airflow_home = disk / "airflow"
    airflow_home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", workload],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(disk / "bundles"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{disk}/none/airflow.db",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": api.url,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(disk / "logs"),
            "AIRLOOM_HOME": str(disk / "airloom"),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    return find_state(dag_id, run_id, task_id), done.stdout + done.stderr


def _queue(dag_id: str, run_id: str, task_id: str) -> str:
    """Put the task into the executor's hands; the workload that it gets."""
    from airflow.executors.base_executor import BaseExecutor
    from airflow.executors.workloads import ExecuteTask
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    with create_session() as session:
        task = _find(session, dag_id, run_id, task_id)
        task.state = TaskInstanceState.QUEUED
        task.try_number += 1
        session.flush()
        return ExecuteTask.make(task, generator=BaseExecutor().jwt_generator).model_dump_json()


def find_state(dag_id: str, run_id: str, task_id: str) -> str | None:
    from airflow.utils.session import create_session

    with create_session() as session:
        state = _find(session, dag_id, run_id, task_id).state
        return None if state is None else str(state)


def _find(session: Any, dag_id: str, run_id: str, task_id: str) -> Any:
    from airflow.models.taskinstance import TaskInstance

    return session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).one()
