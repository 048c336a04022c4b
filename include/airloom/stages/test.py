"""Test: behaviours that the new model must show, and how far it may disagree with the champion."""

from __future__ import annotations

from typing import Any

from airloom.errors import GateFailedError, SpecError
from airloom.prediction import predict
from airloom.protocol import Verdict
from airloom.spec.pipeline import Scenario
from airloom.stages.champion import CHAMPION
from airloom.stages.stage import Stage, StageOutcome, StageTask


def _run(task: StageTask, outcome: StageOutcome) -> None:
    section = task.pipeline.spec.test
    assert section is not None
    trained = task.require_input("train").facts
    model = task.ports.experiment_tracker.load_model(str(trained["model_uri"]))
    outcome.verdicts = [_try(scenario, model, trained) for scenario in section.scenarios]
    if section.max_disagreement is not None:
        outcome.verdicts.append(_compare(task, model, trained, section.max_disagreement))
    failed = [verdict for verdict in outcome.verdicts if not verdict.passed]
    if failed:
        raise GateFailedError("; ".join(f"{verdict.name}: {verdict.reason}" for verdict in failed))


def _try(scenario: Scenario, model: Any, trained: dict[str, Any]) -> Verdict:
    import numpy as np

    before = _ask(scenario, {}, model, trained)
    if scenario.minimum is not None and before.min() < scenario.minimum:
        return _verdict(scenario, False, f"a prediction of {before.min():.4f} is below {scenario.minimum:g}")
    if scenario.maximum is not None and before.max() > scenario.maximum:
        return _verdict(scenario, False, f"a prediction of {before.max():.4f} is above {scenario.maximum:g}")
    if scenario.expect is None or scenario.change is None:
        return _verdict(scenario, True, f"predictions are {before.min():.4f} to {before.max():.4f}")
    after = _ask(scenario, scenario.change, model, trained)
    moved = after - before
    passed = {
        "increase": bool(np.all(moved > scenario.tolerance)),
        "decrease": bool(np.all(moved < -scenario.tolerance)),
        "same": bool(np.all(np.abs(moved) <= scenario.tolerance)),
    }[scenario.expect]
    moves = f"{moved.min():+.4f} to {moved.max():+.4f}"
    reason = f"with {scenario.change} predictions move by {moves}; expected: {scenario.expect}"
    return _verdict(scenario, passed, reason)


def _ask(scenario: Scenario, change: dict[str, Any], model: Any, trained: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    features = list(trained["types"])
    rows = [{**row, **change} for row in scenario.rows]
    unknown = sorted({name for row in rows for name in row} - set(features))
    if unknown:
        raise SpecError(f"test scenario {scenario.name!r} names {unknown}; the features are: {', '.join(features)}")
    try:
        answer = predict(model, pd.DataFrame(rows, columns=features), trained)
    except (TypeError, ValueError) as error:
        raise SpecError(f"test scenario {scenario.name!r} cannot be asked: {error}") from error
    if answer.prediction.dtype.kind not in "fiu":
        raise SpecError(
            f"test scenario {scenario.name!r}: the model answers {answer.prediction[0]!r}, which is no figure; "
            "scenarios need regression, or two classes with probabilities"
        )
    return np.asarray(answer.prediction, dtype=float)


def _verdict(scenario: Scenario, passed: bool, reason: str) -> Verdict:
    return Verdict(name=scenario.name, passed=passed, reason=reason)


def _compare(task: StageTask, model: Any, trained: dict[str, Any], limit: float) -> Verdict:
    name = "disagreement with the champion"
    champion = task.ports.model_registry.find(task.pipeline.full_name, CHAMPION)
    if champion is None:
        return Verdict(name=name, passed=True, reason="there is no champion yet", limit=limit)
    holdout = task.ports.tables.read(task.ports.object_store.local(task.require_input("train").outputs["holdout"].uri))
    missing = [feature for feature in champion.metadata["types"] if feature not in holdout.columns]  # type: ignore[union-attr]
    if missing:
        return Verdict(name=name, passed=True, reason=f"the champion needs {missing}: cannot be compared", limit=limit)
    theirs = predict(task.ports.experiment_tracker.load_model(champion.uri), holdout, champion.metadata)
    ours = predict(model, holdout, trained)
    if task.pipeline.spec.train.task == "regression":
        raise SpecError("test.max_disagreement compares classes; leave it out for a regression")
    share = float((ours.decision != theirs.decision).mean())
    reason = f"{share:.1%} of the holdout's decisions differ from version {champion.version}'s; at most {limit:.1%} may"
    return Verdict(name=name, passed=share <= limit, reason=reason, value=share, limit=limit)


STAGE = Stage(run=_run, reads=("test",))
