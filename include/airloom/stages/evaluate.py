"""Evaluate: measures the new model on the holdout, overall and by slice, and the champion on the same rows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airloom.errors import DataError, SpecError
from airloom.prediction import Answer, predict
from airloom.stages.champion import CHAMPION
from airloom.stages.facets import build_dataset
from airloom.stages.measures import measure, require_metric, usual_metrics
from airloom.stages.stage import Stage, StageOutcome, StageTask

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("airloom.stages.evaluate")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    spec = task.pipeline.spec
    assert spec.evaluate is not None
    trained = task.require_input("train").facts
    holdout = task.ports.tables.read(task.ports.object_store.local(task.require_input("train").outputs["holdout"].uri))
    gated = [*(spec.gates.thresholds if spec.gates else ()), *_champion_metric(task)]
    names = tuple(dict.fromkeys((*(spec.evaluate.metrics or usual_metrics(spec.train.task)), *gated)))
    for name in names:
        require_metric(name)
    model = task.ports.experiment_tracker.load_model(str(trained["model_uri"]))
    answer = predict(model, holdout, trained)
    truth = holdout[spec.train.target]
    outcome.metrics = {name: measure(name, truth, _figures(answer), _classes(trained)) for name in names}
    outcome.facts["slices"] = {
        column: _measure_slices(column, names, holdout, answer, truth, _classes(trained))
        for column in spec.evaluate.slices
    }
    champion = task.ports.model_registry.find(task.pipeline.full_name, CHAMPION)
    outcome.facts["champion_version"] = champion.version if champion else None
    if champion:
        missing = [name for name in champion.metadata.get("features", ()) if name not in holdout.columns]  # type: ignore[union-attr]
        if missing:
            log.warning("champion version %s learnt from %s, which the data no longer have: not compared",
                        champion.version, missing)  # fmt: skip
        else:
            their = predict(task.ports.experiment_tracker.load_model(champion.uri), holdout, champion.metadata)
            for name in names:
                outcome.metrics[f"{CHAMPION}.{name}"] = measure(
                    name, truth, _figures(their), _classes(champion.metadata)
                )
    for name, value in outcome.metrics.items():
        log.info("%s = %.4f", name, value)
    task.ports.experiment_tracker.log_metrics(str(trained["mlflow_run_id"]), outcome.metrics)
    outcome.lineage_inputs = [build_dataset(task.context, "holdout", task.inputs["train"].outputs["holdout"].digest)]


def _champion_metric(task: StageTask) -> tuple[str, ...]:
    gates = task.pipeline.spec.gates
    return (gates.champion.metric,) if gates and gates.champion else ()


def _figures(answer: Answer) -> Any:
    return (
        answer.prediction
        if answer.probabilities is None or answer.probabilities.shape[1] == 2
        else answer.probabilities
    )


def _classes(metadata: Any) -> Any:
    return metadata.get("classes")


def _measure_slices(
    column: str, names: tuple[str, ...], holdout: pd.DataFrame, answer: Answer, truth: Any, classes: Any
) -> dict[str, Any]:
    if column not in holdout.columns:
        raise SpecError(f"evaluate.slices names {column!r}; the rows have: {', '.join(map(str, holdout.columns))}")
    figures = _figures(answer)
    measured: dict[str, Any] = {}
    for value in sorted(holdout[column].dropna().unique(), key=str):
        chosen = (holdout[column] == value).to_numpy()
        found: dict[str, Any] = {"rows": int(chosen.sum())}
        for name in names:
            try:
                found[name] = measure(name, truth[chosen], figures[chosen], classes)
            except DataError:
                found[name] = None  # one class only: the figure is not defined for so small a slice
        measured[str(value)] = found
    return measured


STAGE = Stage(run=_run, reads=("evaluate", "gates", "train"))
