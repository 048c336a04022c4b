"""Deploy: waits until the serving side answers with the champion."""

from __future__ import annotations

import logging

from airloom.errors import PermanentError
from airloom.stages.champion import CHAMPION
from airloom.stages.facets import build_model
from airloom.stages.stage import Stage, StageOutcome, StageTask

_TIMEOUT_SECONDS = 60.0

log = logging.getLogger("airloom.stages.deploy")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    name = task.pipeline.full_name
    champion = task.ports.model_registry.find(name, CHAMPION)
    if champion is None:
        raise PermanentError(f"{name} has no champion to deploy. Promote a version first: trigger its promote DAG.")
    deploy = task.pipeline.spec.deploy
    timeout = deploy.timeout_seconds if deploy else _TIMEOUT_SECONDS
    endpoint = task.ports.deployment.deploy(name, champion.version, timeout)
    log.info("version %s is served at %s", champion.version, endpoint)
    outcome.facts = {"model_name": name, "model_version": champion.version, "endpoint": endpoint}
    outcome.links["Endpoint"] = endpoint
    outcome.lineage_inputs = [build_model(task.context, champion.version)]


STAGE = Stage(run=_run, reads=("deploy",))
