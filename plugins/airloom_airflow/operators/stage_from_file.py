"""One stage of a pipeline file in a hand-written DAG: gives the arguments of a stage operator. DAG authors call it.

    from airloom_airflow.operators import StageSubprocessOperator, load_stage

    StageSubprocessOperator(**load_stage("/pipelines/ops/churn.yaml", "ingest"), retries=2)

`StagePodOperator` has the same arguments. Not here: whole pipelines, which become DAGs without any Python
(`airloom_airflow.bundles`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airloom.settings import load_settings
from airloom.spec import load_pipeline
from airloom.spec.plan import find_earlier


def load_stage(file: str | Path, stage: str) -> dict[str, Any]:
    """`stage`, `pipeline` and `earlier`, for a stage operator.

    Args:
        file: the pipeline file. Where it lies in the installation's pipelines folder, its defaults files count too.
        stage: its name, such as `train`.

    Errors:
        SpecError: the file is not what it must be; with line, what was given, what is allowed.
        ConfigError: the pipeline has no such stage.
    """
    settings, path = load_settings(), Path(file).absolute()
    root = settings.pipelines if path.is_relative_to(settings.pipelines) else None
    pipeline = load_pipeline(path, root=root, environment=settings.environment)
    return {"stage": stage, "pipeline": pipeline, "earlier": find_earlier(pipeline, stage)}
