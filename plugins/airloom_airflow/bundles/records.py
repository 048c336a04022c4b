"""What Airflow's database knows of a bundle's pipelines. The DAG processor's side only: tasks have no database.

`dag_files` asks it, at its first refresh and where a pipeline goes; so a DAG processor that was started anew, on a
disk of its own, decides as the one before it did.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from airloom.spec.ownership import Claim
from airloom_airflow.bundles.claims import split_dag_id

_log = logging.getLogger(__name__)


def load_owners(bundle_name: str) -> dict[Claim, str]:
    """Pipeline → the pipeline file, below its folder, that its DAGs are from. Empty where the database is away."""
    owners: dict[Claim, str] = {}
    for dag_id, file in _load_dags(bundle_name, ""):
        claim = split_dag_id(dag_id)
        if claim is not None and file is not None:
            owners[claim] = file.removesuffix(".py")
    return owners


def load_families(bundle_name: str, claim: Claim) -> set[str]:
    """Which DAGs a pipeline has, or had until just now."""
    prefix = f"{claim.team}__{claim.name}__"
    return {dag_id.removeprefix(prefix) for dag_id, _ in _load_dags(bundle_name, prefix)}


def _load_dags(bundle_name: str, prefix: str) -> Iterable[tuple[str, str | None]]:
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    from airloom_airflow.speedups.database import DagModel, create_session

    query = select(DagModel.dag_id, DagModel.relative_fileloc).where(
        DagModel.bundle_name == bundle_name, DagModel.dag_id.startswith(prefix, autoescape=True)
    )
    if not prefix:
        query = query.where(DagModel.is_stale.is_(False))
    try:
        with create_session() as session:
            return [(dag_id, file) for dag_id, file in session.execute(query)]
    except SQLAlchemyError as error:
        _log.warning(
            "What Airflow knows of %s's pipelines cannot be read, so it counts as nothing: %s", bundle_name, error
        )
        return []
