"""Lets the DAG processor find a DAG's latest code and latest serialized form by an index. `bundles` turns it on.

Airflow's tables `dag_code` and `serialized_dag` have no index by DAG (to 3.3.2). For each file that it reads, its DAG
processor goes through the second once and through the first once a DAG, so that its rate falls as they grow. Both have
an index by version, and the versions have one by DAG: asked by way of them, the same rows come at once. Upstream:
https://github.com/apache/airflow/issues/60883, mended by https://github.com/apache/airflow/pull/69391, which adds the
two indices and is not in 3.3.2. It can go with the version that has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airloom_airflow.speedups.switch import is_on

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

TESTED = ("3.3.2",)
"""Versions of Airflow: `tests/unit/airloom_airflow/speedups/test_version_index.py`, and `make bench-large`."""


def use_version_index() -> None:
    """Have this process look up DAGs' latest rows so. Once is enough."""
    if not is_on("way to a DAG's latest rows", TESTED):
        return
    from airflow.models.dagcode import DagCode
    from airflow.models.serialized_dag import SerializedDagModel

    DagCode._latest_dagcode_select = classmethod(_select_latest_code)  # type: ignore[method-assign,assignment]
    SerializedDagModel._prefetch_dag_write_metadata = classmethod(_load_latest)  # type: ignore[method-assign,assignment]


def _select_latest_code(cls: Any, dag_id: str) -> Select[Any]:
    """As `DagCode._latest_dagcode_select`."""
    from airflow.models.dag_version import DagVersion
    from sqlalchemy import select

    by_version = select(cls).join(DagVersion, cls.dag_version_id == DagVersion.id)
    return by_version.where(DagVersion.dag_id == dag_id).order_by(cls.last_updated.desc()).limit(1)


def _load_latest(cls: Any, dag_ids: Iterable[str], *, session: Session) -> dict[str, Any]:
    """As `SerializedDagModel._prefetch_dag_write_metadata`."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.serialized_dag import DagWriteMetadata
    from sqlalchemy import func, select

    wanted = set(dag_ids)
    rank = func.row_number().over(partition_by=DagVersion.dag_id, order_by=DagVersion.version_number.desc())
    ranked = select(DagVersion.id, rank.label("rank")).where(DagVersion.dag_id.in_(wanted)).subquery()
    latest = select(DagVersion).join(ranked, DagVersion.id == ranked.c.id).where(ranked.c.rank == 1)
    versions = {version.dag_id: version for version in session.scalars(latest)}
    written = (
        select(DagVersion.dag_id, cls.last_updated, cls.dag_hash, rank.label("rank"))
        .join(cls, cls.dag_version_id == DagVersion.id)
        .where(DagVersion.dag_id.in_(wanted))
        .subquery()
    )
    rows = session.execute(select(written).where(written.c.rank == 1))
    known = {dag_id: (last_updated, dag_hash) for dag_id, last_updated, dag_hash, _ in rows}
    return {
        dag_id: DagWriteMetadata(*known.get(dag_id, (None, None)), dag_version=versions.get(dag_id))
        for dag_id in wanted
    }
