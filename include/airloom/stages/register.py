"""Register: the gated model becomes a version in the registry, as challenger (a backfill's does not). Only promotion
makes a champion.
"""

from __future__ import annotations

from airloom.stages.champion import CHALLENGER
from airloom.stages.facets import build_dataset, build_model
from airloom.stages.stage import Stage, StageOutcome, StageTask


def _run(task: StageTask, outcome: StageOutcome) -> None:
    trained = task.require_input("train").facts
    registry = task.ports.model_registry
    name = task.pipeline.full_name
    version = registry.register(
        name,
        str(trained["model_uri"]),
        str(trained["mlflow_run_id"]),
        {
            "airloom.run_id": task.context.run_id,
            "airloom.dataset_version": str(trained["dataset_version"]),
            "airloom.gate": "passed" if "gate" in task.inputs else "none",
        },
    )
    if not task.context.backfill:  # of a past interval: kept, for comparison, and promoted only by its number
        registry.set_alias(name, CHALLENGER, version.version)
    outcome.facts = {"model_name": name, "model_version": version.version}
    evaluated = task.inputs.get("evaluate")
    outcome.metrics = dict(evaluated.metrics) if evaluated else {}
    train = task.pipeline.spec.train
    outcome.lineage_inputs = [
        build_dataset(
            task.context, "features" if "features" in task.inputs else "rows", str(trained["dataset_version"])
        )
    ]
    outcome.lineage_outputs = [
        build_model(
            task.context,
            version.version,
            {
                "dataset_version": trained["dataset_version"],
                "estimator": train.estimator or train.entrypoint,
                "code_digest": trained.get("code_digest"),
                "params": dict(train.params),
                "metrics": dict(outcome.metrics),
                "mlflow_run_id": trained["mlflow_run_id"],
                "train_rows": trained["train_rows"],
            },
        )
    ]


STAGE = Stage(run=_run, reads=("train",))
