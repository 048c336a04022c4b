"""Promote: the gated challenger, or the version asked for, becomes champion; nothing happens where it is already."""

from __future__ import annotations

import logging

from airloom.errors import DataError
from airloom.stages.champion import CHALLENGER, CHAMPION, made_by, promote
from airloom.stages.facets import build_model
from airloom.stages.stage import Stage, StageOutcome, StageTask

log = logging.getLogger("airloom.stages.promote")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    registry = task.ports.model_registry
    name = task.pipeline.full_name
    asked = task.context.params.get("version")
    version = registry.find(name, CHALLENGER) if asked is None else registry.require(name, str(asked))
    champion = registry.find(name, CHAMPION)
    if version is None:
        raise DataError(f'model {name} has no challenger; run its train DAG first, or give {{"version": …}}')
    previous = promote(registry, version, champion, task.context.run_id)
    # Where this run made it champion it was killed after its work, and has told nobody yet.
    changed = champion is None or champion.version != version.version or made_by(champion, task.context.run_id)
    outcome.facts = {
        "model_name": name,
        "model_version": version.version,
        "previous_version": previous,
        "became_champion": changed,
    }
    if not changed:
        log.info("version %s of %s is champion already", version.version, name)
        return
    outcome.lineage_outputs = [build_model(task.context, version.version, {"alias": CHAMPION, "previous": previous})]


STAGE = Stage(run=_run, reads=("promote",))
