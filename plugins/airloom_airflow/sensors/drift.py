"""Decides whether a monitor's verdict asks for retraining, and says so by an event of the pipeline's drift asset.

The `monitor` DAG runs it after the `monitor` stage; the `train` DAG is scheduled on the asset. What it remembers are
the asset's own events in Airflow, so it keeps no state. It looks into no data: the stage has judged that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, BaseSensorOperator

from airloom.errors import ProtocolError
from airloom.protocol.result import StageResult
from airloom.settings import load_settings
from airloom.spec.cron import list_next
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import build_plan
from airloom_airflow.operators.failures import translated_for_airflow
from airloom_airflow.operators.stage_context import find_run_id, is_backfill, published_result_uri
from airloom_airflow.operators.stage_result import load_result
from airloom_airflow.public_names import AirflowSkipException
from airloom_airflow.triggers.drift import DriftTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

_LONGEST_WAIT = timedelta(days=1)
_LATER_RUNS = 2


@dataclass(frozen=True)
class DriftVerdict:
    """What the monitor stage found.

    Attributes:
        breached: whether the model must be trained afresh.
        drift_id: the same for one drift, however often it is found.
        model_version: the champion that was watched.
        reason: in words.
        result_uri: the stage's result.
    """

    breached: bool
    drift_id: str
    model_version: str
    reason: str
    result_uri: str


@dataclass(frozen=True)
class DriftEvent:
    """An earlier event of the drift asset."""

    drift_id: str
    at: datetime


class DriftSensor(BaseSensorOperator):
    """Ask for retraining once a drift, at most once a cooldown, and not while a training is under way.

    In a DAG written by hand it comes after the `monitor` stage of the same run, whose verdict it reads;
    docs/operators.md has an example.

    Whatever is scheduled on the asset starts by its event; skipping says that nothing needs to. `retries` of at least
    one let a deferred task be lost once without harm.

    Args:
        pipeline: the resolved pipeline file, with a `monitor` section.
        train_dag_id: the DAG that retrains; while a run of it is under way, the sensor waits, at most a day.
        asset: what is updated, such as the pipeline's drift asset. The cooldown goes by its earlier events.
        kwargs: Airflow's own.

    It succeeds with an event of the asset (extra: drift_id, model_version, reason, result_uri), or is skipped: no
    breach, a drift asked for before, the cooldown, or a run that judged a past window.
    """

    def __init__(self, *, pipeline: Pipeline, train_dag_id: str, asset: Asset, **kwargs: Any) -> None:
        super().__init__(inlets=[asset], outlets=[asset], **kwargs)
        if pipeline.spec.monitor is None:
            raise ValueError(f"{pipeline.full_name} has no monitor section")
        self.pipeline = pipeline
        self.train_dag_id = train_dag_id
        self.asset = asset
        self.cooldown = timedelta(minutes=pipeline.spec.monitor.cooldown_minutes)

    def execute(self, context: Context) -> None:
        """Skip, or wait until no training is under way.

        Errors:
            AirflowSkipException: the run judged a past window; no breach; a drift told before; too early after the
                last.
            AirflowFailException: the verdict cannot be understood.
            AirflowException: it cannot be read now.
        """
        if past := find_past(self.pipeline, context["dag_run"], datetime.now(UTC)):
            raise AirflowSkipException(past)
        self._require_new(context)
        self.defer(trigger=DriftTrigger(self.train_dag_id), method_name="resume", timeout=_LONGEST_WAIT)

    def resume(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """No training is under way: look again, since one may just have been; then update the asset."""
        verdict = self._require_new(context)
        context["outlet_events"][self.asset].extra = {
            "drift_id": verdict.drift_id,
            "model_version": verdict.model_version,
            "reason": verdict.reason,
            "result_uri": verdict.result_uri,
        }
        self.log.info("Retraining is asked for: %s", verdict.reason)

    def _require_new(self, context: Context) -> DriftVerdict:
        """The verdict, where it asks for retraining."""
        uri = published_result_uri(self.pipeline, "monitor", load_settings(), find_run_id(self.pipeline, context))
        with translated_for_airflow():
            verdict = build_verdict(load_result(uri), uri)
        events = context["inlet_events"][self.asset]
        refusal = find_refusal(
            verdict,
            (DriftEvent(str((event.extra or {}).get("drift_id")), event.timestamp) for event in events),
            self.cooldown,
            datetime.now(UTC),
        )
        if refusal is not None:
            raise AirflowSkipException(refusal)
        return verdict


def build_verdict(result: StageResult, uri: str) -> DriftVerdict:
    """The verdict in a monitor stage's result.

    Errors:
        ProtocolError: a fact is missing.
    """
    facts = result.facts
    breached = facts.get("breached")
    if not isinstance(breached, bool) or (breached and not facts.get("drift_id")):
        raise ProtocolError(f"the monitor's result {uri} lacks the facts breached (true, false) and drift_id: {facts}")
    return DriftVerdict(
        breached,
        str(facts.get("drift_id", "")),
        str(facts.get("model_version", "")),
        str(facts.get("reason", "")),
        uri,
    )


def find_past(pipeline: Pipeline, dag_run: Any, now: datetime) -> str | None:
    """Why what a run judged is not today's; None where it is.

    A scheduled run of the pipeline's own DAG judges the window of its time, when it is cleared later too. It is past
    once two more runs were due: one that is slow, or waits long, is not.
    """
    if is_backfill(dag_run):
        return "A backfill judges a past interval: it asks for no training of today."
    if asked := (dag_run.conf or {}).get("window_end"):
        return f"The run judged a window that was asked for, until {asked}: it asks for no training of today."
    end, plan = dag_run.data_interval_end, build_plan(pipeline, "monitor")
    if dag_run.run_type == "scheduled" and end and plan and plan.schedule and dag_run.dag_id == plan.dag_id:
        zone = pipeline.spec.airflow.timezone
        due = list_next(plan.schedule, end.astimezone(UTC if zone == "UTC" else ZoneInfo(zone)), _LATER_RUNS)
        if due[-1] <= now:
            return f"The run judged a window until {end.isoformat()}, and {_LATER_RUNS} later ones were due since."
    return None


def find_refusal(verdict: DriftVerdict, events: Iterable[DriftEvent], cooldown: timedelta, now: datetime) -> str | None:
    """Why no retraining is asked for; None where it is."""
    if not verdict.breached:
        return f"No breach: {verdict.reason}"
    newest: datetime | None = None
    for event in events:
        if event.drift_id == verdict.drift_id:
            return f"Drift {verdict.drift_id} was told at {event.at.isoformat()} already."
        newest = event.at if newest is None else max(newest, event.at)
    if newest is not None and now - newest < cooldown:
        return (
            f"Cooldown: the last retraining was asked for at {newest.isoformat()}; "
            f"none is asked for again before {(newest + cooldown).isoformat()} (monitor.cooldown_minutes)."
        )
    return None
