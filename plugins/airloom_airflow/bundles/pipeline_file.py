"""What a generated DAG file calls: one pipeline file → its DAGs, or the one DAG that a task needs.

Pure but for reading the pipeline file and its defaults. What it raises becomes the file's import error in the web UI.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from airloom.errors import AirloomError, Finding, SpecError
from airloom.settings import load_settings
from airloom.spec import build_plans, load_pipeline
from airloom.spec.document import load_document
from airloom.spec.loader import place_complaints
from airloom.spec.ownership import describe_newcomer
from airloom_airflow.bundles.dag_files import find_root
from airloom_airflow.dag_factory import build_dag
from airloom_airflow.dag_factory.executors import find_unknown_executors, list_executors

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_stub_dags(stub: str, file: str, owner: str | None = None) -> dict[str, DAG]:
    """All DAGs of a pipeline by id; in a task's process only that task's DAG.

    Args:
        stub: the generated DAG file that calls, by which the folder of pipeline files is found on this machine.
        file: the pipeline file, as a path below that folder.
        owner: the file that has the DAGs of the pipeline that this one claims too. A task whose DAG Airflow has from
            this file gets it all the same.

    Errors:
        SpecError: the pipeline file is not what it must be; the text names file, line and column.
    """
    root = find_root(Path(stub).parents[len(PurePosixPath(file).parts) - 1])
    if owner is not None and get_parsing_context().dag_id is None:
        raise refuse_newcomer(root, file, owner)
    return build_dags(root / file, root, load_settings().environment, bundled=True)


def build_dags(
    path: str | Path, root: str | Path, environment: str | None = None, *, bundled: bool = False
) -> dict[str, DAG]:
    """As `build_stub_dags`, of a pipeline file by its path.

    Args:
        path: the pipeline file.
        root: the folder of pipeline files.
        environment: name of the overlay that applies.
        bundled: see `list_executors`.
    """
    path, root = Path(path), Path(root)
    try:
        pipeline = load_pipeline(path, root=root, environment=environment)
    except AirloomError:
        raise
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read as a pipeline file: {error}") from error
    wanted = get_parsing_context().dag_id
    if wanted is None and pipeline.spec.airflow.model_fields_set:
        unknown = list(find_unknown_executors(pipeline, list_executors(bundled=bundled)))
        if unknown:
            raise SpecError(findings=place_complaints(unknown, path, root, environment))
    digest = hashlib.sha256(pipeline.model_dump_json().encode()).hexdigest()[:16]
    source = f"`{path.relative_to(root).as_posix()}` (resolved: `{digest}`)"
    return {
        plan.dag_id: build_dag(pipeline, plan, source)
        for plan in build_plans(pipeline)
        if wanted is None or plan.dag_id == wanted
    }


def refuse_newcomer(root: Path, file: str, owner: str) -> SpecError:
    """What is wrong with a file that claims the pipeline of another; both are paths below the root."""
    document = load_document(root / file, root)
    name = document.data["metadata"]["name"]
    _, (line, column) = document.find(("metadata", "name"))
    message = describe_newcomer(name, root / owner)
    return SpecError(findings=[Finding(str(root / file), line, column, "metadata.name", message)])
