"""One stage of a pipeline file in a hand-written DAG: gives the arguments of a stage operator. DAG authors call it.

    from airloom_airflow.operators.stage_from_file import load_stage
    from airloom_airflow.operators.stage_subprocess import StageSubprocessOperator

    StageSubprocessOperator(**load_stage("/pipelines/ops/churn.yaml", "ingest"), retries=2)

`StagePodOperator` takes the same arguments. The task has the stage's name, which is how a later stage of the same run
finds its result; within a task group, that needs `TaskGroup(…, prefix_group_id=False)`. Not here: whole pipelines,
which become DAGs without any Python (`airloom_airflow.bundles`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airloom.errors import ConfigError
from airloom.settings import load_settings
from airloom.spec import build_plans, load_pipeline


def load_stage(file: str | Path, stage: str) -> dict[str, Any]:
    """`task_id`, `pipeline` and `earlier` of a stage.

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
    names: list[str] = []
    for plan in build_plans(pipeline):
        stages = [task.stage for task in plan.tasks if task.stage != "drift"]  # a sensor, of the Airflow side
        if stage in stages:
            return {"task_id": stage, "pipeline": pipeline, "earlier": tuple(stages[: stages.index(stage)])}
        names += stages
    raise ConfigError(f"{path} has no stage {stage!r}; it has {', '.join(dict.fromkeys(names))}")
