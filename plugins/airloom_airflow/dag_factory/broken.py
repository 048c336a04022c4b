"""The DAG that stands in for a pipeline file that makes none, and says why. `bundles.loader` calls it, where an import
error would take every other pipeline along; with a bundle, such a file is an import error instead.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator

from airloom.errors import SpecError

if TYPE_CHECKING:
    from airflow.sdk import Context

_ID_LENGTH = 200
"""Airflow takes 250 characters."""


class BrokenPipelineOperator(BaseOperator):
    """Fails with what is wrong in the pipeline file, for whoever starts the DAG all the same."""

    def __init__(self, *, error: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def execute(self, context: Context) -> None:
        """
        Errors:
            SpecError: always.
        """
        raise SpecError(self.error)


def broken_dag_id(file: str) -> str:
    """`<team>__<file name>__broken`; never the id of a pipeline's own DAG, whose parts hold no full stop."""
    shown = file.replace("/", "__")
    plain = re.sub(r"[^\w.-]", "-", shown, flags=re.ASCII)[:_ID_LENGTH]
    digest = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]  # as on disk: a name may be no UTF-8
    return f"{plain}__broken" if plain == shown else f"{plain}.{digest}__broken"


def build_broken_dag(dag_id: str, file: str, error: str) -> DAG:
    """A DAG that nothing starts.

    Args:
        dag_id: of the file.
        file: the pipeline file, as a path below its folder, printable.
        error: what is wrong, with file, line and column.
    """
    dag = DAG(
        dag_id,
        description=f"{file} makes no DAGs: {error.splitlines()[0] if error else ''}",
        doc_md=f"`{file}` makes no DAGs until this is mended:\n\n```\n{error}\n```",
        schedule=None,
        catchup=False,
        tags={"airloom", "broken"},
    )
    BrokenPipelineOperator(task_id="broken", dag=dag, error=error, retries=0)
    return dag
