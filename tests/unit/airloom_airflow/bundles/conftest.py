"""What the bundles' tests share: a task's process, and what Airflow's database knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def in_task(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From here on this process is as a task's, in which Airflow says what it parses for."""

    def be(dag_id: str) -> None:
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)

    return be


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From here on Airflow keeps its bundles there."""

    def be(folder: Path) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(folder))

    return be


@pytest.fixture
def register(database: None) -> Iterator[Callable[[str, str], None]]:
    """Let Airflow know a DAG of the bundle `airloom`, from a pipeline file."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    made: list[str] = []

    def add(dag_id: str, file: str) -> None:
        with create_session() as session:
            session.merge(DagBundleModel(name="airloom"))
            session.flush()
            session.merge(DagModel(dag_id=dag_id, bundle_name="airloom", relative_fileloc=f"{file}.py", is_stale=False))
        made.append(dag_id)

    yield add
    with create_session() as session:
        session.execute(delete(DagModel).where(DagModel.dag_id.in_(made)))
