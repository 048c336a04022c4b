"""Gate: thresholds, and not worse than the champion. What it says is kept, whichever way it goes."""

from __future__ import annotations

from airloom.errors import GateFailedError, ProtocolError
from airloom.protocol import StageResult, Verdict
from airloom.stages.champion import CHAMPION
from airloom.stages.measures import is_greater_better
from airloom.stages.stage import Stage, StageOutcome, StageTask


def _run(task: StageTask, outcome: StageOutcome) -> None:
    gates = task.pipeline.spec.gates
    assert gates is not None
    evaluated = task.require_input("evaluate") if gates.thresholds or gates.champion else None
    if evaluated is not None:
        for metric, threshold in gates.thresholds.items():
            outcome.verdicts += _check(metric, _value(evaluated, metric), threshold.min, threshold.max)
    if evaluated is not None and gates.champion:
        outcome.verdicts.append(_compare(evaluated, gates.champion.metric, gates.champion.tolerance))
    failed = [verdict.reason for verdict in outcome.verdicts if not verdict.passed]
    task.ports.experiment_tracker.tag(
        str(task.require_input("train").facts["mlflow_run_id"]),
        {
            "airloom.gate": "failed" if failed else "passed",
            "airloom.gate_reason": "; ".join(failed or [verdict.reason for verdict in outcome.verdicts]),
        },
    )
    if failed:
        raise GateFailedError("; ".join(failed))


def _check(metric: str, value: float, minimum: float | None, maximum: float | None) -> list[Verdict]:
    verdicts: list[Verdict] = []
    if minimum is not None:
        reason = f"{metric} is {value:.4f}, at least {minimum:g} is asked"
        verdicts.append(
            Verdict(name=f"{metric} minimum", passed=value >= minimum, reason=reason, value=value, limit=minimum)
        )
    if maximum is not None:
        reason = f"{metric} is {value:.4f}, at most {maximum:g} is allowed"
        verdicts.append(
            Verdict(name=f"{metric} maximum", passed=value <= maximum, reason=reason, value=value, limit=maximum)
        )
    return verdicts


def _compare(evaluated: StageResult, metric: str, tolerance: float) -> Verdict:
    name = f"{metric} against the champion"
    theirs = evaluated.metrics.get(f"{CHAMPION}.{metric}")
    ours = _value(evaluated, metric)
    version = evaluated.facts.get("champion_version")
    if theirs is None:
        why = f"version {version} cannot be compared" if version else "there is no champion yet"
        return Verdict(name=name, passed=True, reason=f"{why}; {metric} is {ours:.4f}", value=ours)
    limit = theirs - tolerance if is_greater_better(metric) else theirs + tolerance
    passed = ours >= limit if is_greater_better(metric) else ours <= limit
    reason = (
        f"{metric} is {ours:.4f} where the champion, version {version}, reaches {theirs:.4f} on the same rows "
        f"({tolerance:g} worse is allowed)"
    )
    return Verdict(name=name, passed=passed, reason=reason, value=ours, limit=limit)


def _value(evaluated: StageResult, metric: str) -> float:
    if metric not in evaluated.metrics:
        raise ProtocolError(f"evaluate measured {sorted(evaluated.metrics)}, and the gate asks for {metric!r}")
    return evaluated.metrics[metric]


STAGE = Stage(run=_run, reads=("gates",))
