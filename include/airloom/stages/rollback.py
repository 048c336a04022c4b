"""Rollback: the champion before this one returns."""

from __future__ import annotations

from airloom.errors import DataError
from airloom.stages.champion import CHAMPION, made_by, previous_of, restore
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
        previous = previous_of(champion)
        if previous is None:
            raise DataError(f"version {champion.version} of {name} is its first champion; there is none before it")
        restore(registry, champion, registry.require(name, previous), task.context.run_id)
        version, left = previous, champion.version
    outcome.facts = {"model_name": name, "model_version": version, "previous_version": left}
    outcome.lineage_outputs = [build_model(task.context, version, {"alias": CHAMPION, "rolled_back": left})]


STAGE = Stage(run=_run, reads=("promote",))
