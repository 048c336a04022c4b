"""Which DAGs a pipeline has, which stages each runs and in what order, and which assets tie them. Pure.

`airloom render` prints it, `airloom run` follows it, the DAG factories build it. It knows no Airflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from airloom.errors import ConfigError
from airloom.spec.orchestration import FAMILIES, Family, Schedule, TaskName
from airloom.spec.pipeline import Pipeline

AssetKind = Literal["dataset", "model", "deployment", "drift"]
_SENSOR = "drift"
"""The one task that is no stage: a sensor, of the Airflow side."""
STAGE_NAMES = tuple(name for name in get_args(TaskName) if name != _SENSOR)


@dataclass(frozen=True)
class TaskPlan:
    """One task: `task_id` is the stage's name; it runs after `upstream` and updates the assets `outlets`."""

    stage: str
    upstream: tuple[str, ...] = ()
    outlets: tuple[AssetKind, ...] = ()


@dataclass(frozen=True)
class DagPlan:
    """One DAG: started by `schedule` (cron), by any of the assets `triggers`, by `others`, or by hand.

    Attributes:
        others: a schedule whose assets and aliases, which are not this pipeline's own, start the DAG too.
    """

    dag_id: str
    family: Family
    tasks: tuple[TaskPlan, ...]
    schedule: str | None = None
    triggers: tuple[AssetKind, ...] = ()
    others: Schedule | None = None


def dag_id(pipeline: Pipeline, family: Family) -> str:
    """`<team>__<pipeline>__<family>`."""
    return build_dag_id(pipeline.metadata.team, pipeline.metadata.name, family)


def find_results_run(pipeline: Pipeline, of_dag: str, run_id: str) -> str:
    """The id by which the stages of a run know it, and its results are kept.

    Airflow's ids are unique within a DAG only: two DAGs with one cron have the same. A run of the pipeline's training
    is known by Airflow's own id, as its models are; one of any other DAG, whoever's, by `<dag_id>__<run_id>`.

    Args:
        of_dag: the DAG's id.
        run_id: Airflow's.
    """
    return run_id if of_dag == dag_id(pipeline, "train") else f"{of_dag}__{run_id}"


def build_dag_id(team: str, name: str, family: Family) -> str:
    """As `dag_id`, of a pipeline that is known by name alone."""
    return f"{team}__{name}__{family}"


def asset_uri(pipeline: Pipeline, kind: AssetKind) -> str:
    """`airloom://<team>/<pipeline>/<kind>`."""
    return f"airloom://{pipeline.metadata.team}/{pipeline.metadata.name}/{kind}"


def build_plans(pipeline: Pipeline) -> tuple[DagPlan, ...]:
    """All DAGs of a pipeline, in the order of `FAMILIES`."""
    plans = (build_plan(pipeline, family) for family in FAMILIES)
    return tuple(plan for plan in plans if plan is not None)


def build_plan(pipeline: Pipeline, family: Family) -> DagPlan | None:
    """One family's DAG, or None where the pipeline has no section for it."""
    spec = pipeline.spec
    name = dag_id(pipeline, family)
    validate = ("validate",) if spec.data.expectations else ()
    if family == "train":
        stages = (
            "ingest",
            *validate,
            *(("features",) if spec.features else ()),
            "train",
            *(("evaluate",) if spec.evaluate else ()),
            *(("test",) if spec.test else ()),
            *(("gate",) if spec.gates else ()),
            "register",
        )
        drift: tuple[AssetKind, ...] = ("drift",) if _retrains(pipeline) else ()
        return _plan(name, family, stages, spec.schedule, drift)
    if family == "features":
        if spec.features is None:
            return None
        return _plan(name, family, ("ingest", *validate, "features"), spec.features.schedule)
    if family == "score":
        if spec.score is None:
            return None
        return _plan(name, family, ("score",), spec.score.schedule)
    if family == "monitor":
        if spec.monitor is None:
            return None
        stages = ("monitor", "drift") if _retrains(pipeline) else ("monitor",)
        return _plan(name, family, stages, spec.monitor.schedule)
    if not uses_champion(pipeline):
        return None
    stages = (family, *(("deploy",) if spec.deploy else ()))
    if family == "promote":
        auto = spec.promote is None or spec.promote.auto
        return DagPlan(name, family, _chain(stages), triggers=("model",) if auto else ())
    return DagPlan(name, family, _chain(stages))


def find_earlier(pipeline: Pipeline, stage: str) -> tuple[str, ...]:
    """The stages before a stage in the first of the pipeline's DAGs that has it.

    Errors:
        ConfigError: the pipeline has no such stage.
    """
    names: list[str] = []
    for plan in build_plans(pipeline):
        stages = [task.stage for task in plan.tasks if task.stage != _SENSOR]
        if stage in stages:
            return tuple(stages[: stages.index(stage)])
        names += stages
    raise ConfigError(f"{pipeline.full_name} has no stage {stage!r}; it has {', '.join(dict.fromkeys(names))}")


def find_compute(pipeline: Pipeline, stage: str) -> str:
    """The compute profile of a stage: its section's, or the pipeline's."""
    section = getattr(pipeline.spec, "data" if stage in ("ingest", "validate") else stage, None)
    return getattr(section, "compute", None) or pipeline.spec.compute


def build_groups(pipeline: Pipeline, stages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Stage → the stages that share its pod, in their order; alone, it is the only one."""
    groups: list[tuple[str, ...]] = []
    for stage in stages:
        fused = pipeline.spec.execution == "fused" and groups
        if fused and find_compute(pipeline, groups[-1][-1]) == find_compute(pipeline, stage):
            groups[-1] = (*groups[-1], stage)
        else:
            groups.append((stage,))
    return {stage: group for group in groups for stage in group}


def uses_champion(pipeline: Pipeline) -> bool:
    """Whether anything of the pipeline works with a champion; only then are promote and rollback made."""
    spec = pipeline.spec
    return any((spec.promote, spec.deploy, spec.score, spec.monitor))


def _plan(
    name: str,
    family: Family,
    stages: tuple[str, ...],
    schedule: str | Schedule | None,
    triggers: tuple[AssetKind, ...] = (),
) -> DagPlan:
    """A plan by what the pipeline file says of its start: a cron, or a whole schedule."""
    if not isinstance(schedule, Schedule):
        return DagPlan(name, family, _chain(stages), schedule, triggers)
    others = schedule if schedule.assets or schedule.aliases else None
    return DagPlan(name, family, _chain(stages), schedule.cron, triggers, others)


_OUTLETS: dict[str, AssetKind] = {"ingest": "dataset", "register": "model", "deploy": "deployment", "drift": "drift"}


def _chain(stages: tuple[str, ...]) -> tuple[TaskPlan, ...]:
    return tuple(
        TaskPlan(stage, stages[index - 1 : index] if index else (), (_OUTLETS[stage],) if stage in _OUTLETS else ())
        for index, stage in enumerate(stages)
    )


def _retrains(pipeline: Pipeline) -> bool:
    return pipeline.spec.monitor is not None and pipeline.spec.monitor.on_breach == "retrain"
