"""Rollback: the champion before this one returns, or the earlier champion that was asked for."""

from __future__ import annotations

from airloom.errors import DataError
from airloom.ports.model_registry import ModelVersion
from airloom.stages.champion import CHAMPION, made_by, previous_of, restore, was_champion
from airloom.stages.facets import build_model
from airloom.stages.stage import Stage, StageOutcome, StageTask


def _run(task: StageTask, outcome: StageOutcome) -> None:
    registry = task.ports.model_registry
    name = task.pipeline.full_name
    champion = registry.find(name, CHAMPION)
    if champion is None:
        raise DataError(f"model {name} has no champion, so there is nothing to roll back")
    if made_by(champion, task.context.run_id):  # this run was here before, and was killed after its work
        version, left = champion.version, None
    else:
        target = _find_target(task, champion)
        restore(registry, champion, target, task.context.run_id)
        version, left = target.version, champion.version
    outcome.facts = {"model_name": name, "model_version": version, "previous_version": left, "became_champion": True}
    outcome.lineage_outputs = [build_model(task.context, version, {"alias": CHAMPION, "rolled_back": left})]


def _find_target(task: StageTask, champion: ModelVersion) -> ModelVersion:
    registry, name = task.ports.model_registry, task.pipeline.full_name
    asked = task.context.params.get("version")
    if asked is None:
        previous = previous_of(champion)
        if previous is None:
            raise DataError(f"version {champion.version} of {name} is its first champion; there is none before it")
        return registry.require(name, previous)
    target = registry.require(name, str(asked))
    if target.version == champion.version:
        raise DataError(f"version {asked} of {name} is the champion already")
    if not was_champion(target):
        raise DataError(f"version {asked} of {name} never was champion; run promote with it instead")
    return target


STAGE = Stage(run=_run, reads=("promote",))
