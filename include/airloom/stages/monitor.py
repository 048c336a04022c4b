"""Monitor: the champion's logged predictions against its training data (drift), and against the truth that has
arrived since (performance). It reads and judges; what follows a breach is Airflow's to do. A scheduled or backfill
run judges the predictions of before its interval's end, always those of today's champion.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from airloom.errors import DataError, SpecError
from airloom.ports.drift_detector import DriftReport
from airloom.ports.model_registry import ModelVersion
from airloom.ports.prediction_log import PREDICTION
from airloom.prediction import ordered_types, prepare
from airloom.protocol import Verdict
from airloom.spec.pipeline import Drift, Performance
from airloom.stages.champion import CHAMPION
from airloom.stages.facets import build_assertions, build_dataset, build_model
from airloom.stages.measures import measure
from airloom.stages.predictions_window import drop_repeats, in_window, join_truth
from airloom.stages.stage import Stage, StageOutcome, StageTask

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 20_000
"""Compared for drift; more rows say the same, and take longer."""
_SEED = 0

log = logging.getLogger("airloom.stages.monitor")


@dataclass(frozen=True)
class _Watched:
    """The champion and what it was asked in the window."""

    champion: ModelVersion
    window: pd.DataFrame
    digest: str

    @property
    def drift_id(self) -> str:
        return f"{self.champion.version}-{self.digest}"


def _run(task: StageTask, outcome: StageOutcome) -> None:
    monitor = task.pipeline.spec.monitor
    assert monitor is not None
    champion = task.ports.model_registry.find(task.pipeline.full_name, CHAMPION)
    if champion is None:
        _report(task, outcome, None, "there is no champion yet")
        return
    watched = _watch(task, champion)
    rows = len(watched.window)
    outcome.lineage_inputs = [
        build_model(task.context, champion.version),
        build_dataset(task.context, "predictions", watched.digest),
    ]
    if rows < monitor.min_rows:
        _report(task, outcome, watched, f"{rows} predictions of version {champion.version} are too few to judge by; "
              f"monitor.min_rows is {monitor.min_rows}")  # fmt: skip
        return
    if monitor.drift is not None:
        _check_drift(task, outcome, watched, monitor.drift)
    if monitor.performance is not None:
        outcome.verdicts.append(_check_performance(task, outcome, watched, monitor.performance))
    breaches = [verdict.reason for verdict in outcome.verdicts if not verdict.passed]
    reasons = breaches or [verdict.reason for verdict in outcome.verdicts]
    _report(task, outcome, watched, "; ".join(reasons))


def _watch(task: StageTask, champion: ModelVersion) -> _Watched:
    data, monitor = task.pipeline.spec.data, task.pipeline.spec.monitor
    assert monitor is not None
    rows = task.ports.prediction_log.read(champion.version)
    end = datetime.fromisoformat(task.context.window_end) if task.context.window_end else None
    window = drop_repeats(in_window(rows, data.timestamp, monitor.window_days, end), data.key)
    return _Watched(champion, window, _digest(window))


def _check_drift(task: StageTask, outcome: StageOutcome, watched: _Watched, drift: Drift) -> None:
    metadata: Any = watched.champion.metadata
    store = task.ports.object_store
    reference = task.ports.tables.read(store.local(metadata["reference_uri"]))
    columns = drift.columns or tuple(metadata["features"])
    if unknown := sorted(set(columns) - set(metadata["features"])):
        raise SpecError(
            f"monitor.drift.columns names {unknown}; version {watched.champion.version} has the features: "
            f"{', '.join(metadata['features'])}"
        )
    report = task.ports.drift_detector.compare(
        _comparable(reference, columns, metadata), _comparable(watched.window, columns, metadata), task.folder / "drift"
    )
    outcome.outputs["drift_report"] = store.upload(report.page, task.uri("drift_report.html"))
    outcome.links["Drift report"] = outcome.outputs["drift_report"].uri
    outcome.lineage_outputs = [build_dataset(task.context, "drift_report", outcome.outputs["drift_report"].digest)]
    verdict = _check_share(report, columns, drift)
    outcome.metrics["drift_share"] = verdict.value or 0.0
    outcome.metrics["prediction_drift"] = report.scores[PREDICTION]
    outcome.facts["drift_scores"] = dict(report.scores)
    outcome.verdicts.append(verdict)
    if drift.prediction:
        moved = PREDICTION in report.drifted
        score = report.scores[PREDICTION]
        reason = f"the predictions have {'' if moved else 'not '}drifted (distance {score:.3f})"
        outcome.verdicts.append(Verdict(name="prediction drift", passed=not moved, reason=reason, value=score))
    facets = build_assertions(outcome.verdicts)
    outcome.lineage_inputs[-1] = build_dataset(task.context, "predictions", watched.digest, facets=facets)
    outcome.lineage_inputs.append(
        build_dataset(task.context, "reference", str(metadata.get("dataset_version", "unknown")))
    )


def _check_share(report: DriftReport, columns: tuple[str, ...], drift: Drift) -> Verdict:
    drifted = sorted((name for name in report.drifted if name in columns), key=lambda name: -report.scores[name])
    share = len(drifted) / len(columns)
    names = ", ".join(f"{name} {report.scores[name]:.2f}" for name in drifted[:5]) + ("…" if len(drifted) > 5 else "")
    reason = f"{len(drifted)} of {len(columns)} features have drifted{f' ({names})' if drifted else ''}: " \
             f"{share:.0%}; a breach from {drift.share:.0%}"  # fmt: skip
    return Verdict(name="drift", passed=share < drift.share, reason=reason, value=share, limit=drift.share)


def _check_performance(task: StageTask, outcome: StageOutcome, watched: _Watched, performance: Performance) -> Verdict:
    spec = task.pipeline.spec
    assert spec.monitor is not None
    assert spec.monitor.ground_truth is not None
    name, truth = performance.metric, spec.monitor.ground_truth
    target = truth.target or spec.train.target
    joined = join_truth(
        watched.window, task.ports.tables.load(truth.source, "monitor.ground_truth.source"), spec.data.key, target
    )
    arrived = f"{len(joined)} of {len(watched.window)} predictions"
    outcome.facts["truth_rows"] = len(joined)
    if len(joined) < spec.monitor.min_rows:
        reason = f"{name} is not measured: the truth has arrived for {arrived}, fewer than {spec.monitor.min_rows}"
        return Verdict(name=name, passed=True, reason=reason)
    classes: Any = watched.champion.metadata.get("classes")
    try:
        value = measure(name, joined.truth, joined.prediction, classes)
    except DataError as error:
        log.warning("%s", error)
        return Verdict(name=name, passed=True, reason=f"{name} is not measured: {error}")
    outcome.metrics[name] = value
    low, high = performance.min, performance.max
    if low is not None and value < low:
        return Verdict(name=name, passed=False, value=value, limit=low,
                       reason=f"{name} is {value:.4f} on {arrived}, below {low:g}")  # fmt: skip
    if high is not None and value > high:
        return Verdict(name=name, passed=False, value=value, limit=high,
                       reason=f"{name} is {value:.4f} on {arrived}, above {high:g}")  # fmt: skip
    limit = low if low is not None else high
    return Verdict(name=name, passed=True, reason=f"{name} is {value:.4f} on {arrived}", value=value, limit=limit)


def _report(task: StageTask, outcome: StageOutcome, watched: _Watched | None, reason: str) -> None:
    """Write the verdict: facts, and the same as a document."""
    breached = any(not verdict.passed for verdict in outcome.verdicts)
    outcome.facts |= {
        "breached": breached,
        "reason": reason,
        "model_version": watched.champion.version if watched else None,
        "window_rows": len(watched.window) if watched else 0,
        "window_end": task.context.window_end,
        "drift_id": watched.drift_id if watched else None,
    }
    document: dict[str, JsonValue] = {
        **outcome.facts,
        "verdicts": [verdict.model_dump(mode="json") for verdict in outcome.verdicts],
        "metrics": dict(outcome.metrics),
    }
    content = json.dumps(document, indent=2, ensure_ascii=False).encode()
    outcome.outputs["verdict"] = task.ports.object_store.write(task.uri("verdict.json"), content)
    log.info("%s: %s", "BREACH" if breached else "no breach", reason)


def _comparable(rows: pd.DataFrame, columns: tuple[str, ...], metadata: Any) -> pd.DataFrame:
    """The columns and the prediction, of the same types on both sides: numbers as floats, all else as text."""
    types = ordered_types(metadata)
    sample = rows.sample(_MOST_ROWS, random_state=_SEED) if len(rows) > _MOST_ROWS else rows
    frame = prepare(sample, {name: types[name] for name in columns})
    prediction = sample[PREDICTION]
    classes = metadata.get("classes")
    numeric = classes is None or (len(classes) == 2 and prediction.dtype.kind in "fiub")
    frame[PREDICTION] = prediction.astype("float64" if numeric else "str")
    return frame


def _digest(window: pd.DataFrame) -> str:
    """Of the window's rows, whatever their order."""
    import pandas as pd

    text = window[sorted(window.columns)].astype(str)
    rows = sorted(pd.util.hash_pandas_object(text, index=False).tolist()) if len(window) else []
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


STAGE = Stage(run=_run, reads=("data", "train", "monitor"))
