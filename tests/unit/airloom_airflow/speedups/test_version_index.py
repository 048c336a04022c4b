"""By the index of their versions, the DAG processor finds the very rows that Airflow's own look-ups find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagcode import DagCode
from airflow.models.serialized_dag import SerializedDagModel
from sqlalchemy import event, insert
from sqlalchemy.orm import Session

from airloom_airflow.speedups import switch, version_index

pytestmark = pytest.mark.skipif(
    switch.version("apache-airflow-core") not in version_index.TESTED, reason="off on this Airflow"
)


_OWN = [
    (model, name, vars(model)[name])
    for model, name in ((DagCode, "_latest_dagcode_select"), (SerializedDagModel, "_prefetch_dag_write_metadata"))
    if name in vars(model)
]
"""Airflow's own look-ups, kept before any test has turned it on in this process."""


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Does as the environment wishes, and finds Airflow's own."""
    for model, name, own in _OWN:
        monkeypatch.setattr(model, name, own)

    def turn(wish: str) -> None:
        monkeypatch.setenv(switch.VARIABLE, wish)
        version_index.use_version_index()

    return turn


@pytest.fixture
def session(database: None) -> Iterator[Session]:
    """With `a`, whose second version is older in its code and whose third was not written, and `b`, of one version."""
    from airflow.settings import engine

    with engine.connect() as connection, Session(connection) as session:
        session.merge(DagBundleModel(name="airloom"))
        session.flush()
        for dag_id, versions in (("a", 3), ("b", 1)):
            session.add(DagModel(dag_id=dag_id, bundle_name="airloom"))
            session.flush()
            for number in range(1, versions + 1):
                _add_version(session, dag_id, number)
        yield session
        session.rollback()


def _add_version(session: Session, dag_id: str, number: int) -> None:
    version = uuid4()
    when = datetime(2026, 1, 10 - number, tzinfo=UTC)
    session.execute(insert(DagVersion).values(id=version, dag_id=dag_id, version_number=number, bundle_name="airloom"))
    if number < 3:
        own: dict[str, Any] = {"dag_id": dag_id, "dag_version_id": version, "last_updated": when}
        code = {"fileloc": "/x.py", "source_code": str(number), "source_code_hash": f"{dag_id}{number}"}
        session.execute(insert(DagCode).values(**own, **code))
        session.execute(insert(SerializedDagModel).values(**own, dag_hash=f"{dag_id}{number}"))


def _look_up(session: Session) -> dict[str, tuple[Any, ...]]:
    known = SerializedDagModel._prefetch_dag_write_metadata(["a", "b", "none"], session=session)
    codes = {dag_id: session.scalar(DagCode._latest_dagcode_select(dag_id)) for dag_id in known}
    return {dag_id: (*known[dag_id], codes[dag_id]) for dag_id in known}


def test_it_finds_what_airflow_finds(session: Session, turn: Callable[[str], None]) -> None:
    by_airflow = _look_up(session)
    turn("on")
    assert _look_up(session) == by_airflow
    _, dag_hash, version, code = by_airflow["a"]
    assert (dag_hash, version.version_number, code.source_code) == ("a2", 3, "1")
    assert by_airflow["none"] == (None, None, None, None)


@pytest.mark.parametrize(("wish", "tables"), [("off", {"dag_code", "serialized_dag"}), ("on", set())])
def test_no_table_is_gone_through(session: Session, turn: Callable[[str], None], wish: str, tables: set[str]) -> None:
    turn(wish)
    asked: list[tuple[str, Any]] = []
    connection = session.connection()
    event.listen(
        connection, "before_cursor_execute", lambda _c, _cursor, text, values, *_: asked.append((text, values))
    )
    _look_up(session)
    plan = [str(row[-1]) for text, values in list(asked) for row in _explain(connection, text, values)]
    assert {table for table in ("dag_code", "serialized_dag", "dag_version") if f"SCAN {table}" in plan} == tables


def _explain(connection: Any, text: str, values: Any) -> list[Any]:
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
