"""What the generated DAG file calls: one pipeline file → its DAGs, or the one DAG that a task needs.

Pure but for reading the pipeline file and its defaults. What it raises becomes the file's import error in the web UI.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_parsing_context

from airloom.errors import AirloomError, SpecError
from airloom.spec import build_plans, load_pipeline
from airloom_airflow.dag_factory import build_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def build_dags(path: str, root: str, environment: str | None = None, twins: tuple[str, ...] = ()) -> dict[str, DAG]:
    """All DAGs of a pipeline by id; in a task's process only that task's DAG.

    Args:
        path: the pipeline file, absolute.
        root: the folder of pipeline files.
        environment: name of the overlay that applies.
        twins: other files that claim the same team and name.

    Errors:
        SpecError: the pipeline file is not what it must be; the text names file and line.
    """
    if twins:
        raise SpecError(
            f"{path}: {' and '.join(twins)} has the same metadata.team and metadata.name. "
            "None of these files makes DAGs until each has a name of its own; rename or remove one."
        )
    try:
        pipeline = load_pipeline(Path(path), root=Path(root), environment=environment)
    except AirloomError:
        raise
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read as a pipeline file: {error}") from error
    wanted = get_parsing_context().dag_id
    digest = hashlib.sha256(pipeline.model_dump_json().encode()).hexdigest()[:16]
    source = f"`{Path(path).relative_to(root).as_posix()}` (resolved: `{digest}`)"
    return {
        plan.dag_id: build_dag(pipeline, plan, source)
        for plan in build_plans(pipeline)
        if wanted is None or plan.dag_id == wanted
    }
