"""What a task's end means to people: a failure, a refusal, a breach, a promotion. Callbacks of the tasks.

Airflow calls them where the task ran. What a notifier's templates know of it is under `airloom`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airloom.errors import AirloomError
from airloom.protocol.launch import StageFailedError
from airloom.protocol.result import StageResult
from airloom.settings import load_settings
from airloom.spec.orchestration import Notifier
from airloom.spec.pipeline import Pipeline
from airloom_airflow.notifications.loading import load_notifier
from airloom_airflow.operators.stage_context import find_run_id, published_result_uri
from airloom_airflow.operators.stage_result import load_result

if TYPE_CHECKING:
    from airflow.sdk import Context

_FACTS = {"breach": "breached", "promotion": "became_champion"}
"""What a stage's result says of the event where the task has ended well: whether it was one."""
_REFUSED = "GateFailedError"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskCallback:
    """Calls one notifier, where its event is what the task's end was.

    Attributes:
        event: `failure`, `refusal`, `breach` or `promotion`.
    """

    pipeline: Pipeline
    stage: str
    event: str
    notifier: Notifier

    def __call__(self, context: Context) -> None:
        """Airflow's way to call it.

        Errors:
            ConfigError: the notifier cannot be loaded.
            AirloomError: whether it was a breach or a promotion cannot be read. Like all that the notifier raises,
                Airflow logs it.
        """
        uri = published_result_uri(self.pipeline, self.stage, load_settings(), find_run_id(self.pipeline, context))
        result = load_result(uri) if self.event in _FACTS else _read(uri)
        if not self._is_meant(result, context.get("exception")):
            return
        told = {**describe(result, context.get("exception")), "event": self.event, "stage": self.stage}
        if self.event == "promotion":
            told["reason"] = f"version {told['model_version']} is champion now"
        notifier = load_notifier(self.notifier.notifier, self.notifier.args)
        notifier({**context, "airloom": {**told, "pipeline": self.pipeline.full_name, "result_uri": uri}})

    def _is_meant(self, result: StageResult | None, exception: Any) -> bool:
        if fact := _FACTS.get(self.event):
            return result is not None and result.facts.get(fact) is True
        return is_refusal(result, exception) == (self.event == "refusal")


def build_callbacks(pipeline: Pipeline, stage: str) -> dict[str, Any]:
    """A task's callbacks as its operator takes them; empty where nobody is to be told."""
    notify = pipeline.spec.notify
    if not notify.model_fields_set:  # most pipelines; it is asked for every task on every parse
        return {}
    refusal = notify.failure if notify.refusal is None else notify.refusal
    wanted = {
        "on_failure_callback": [("failure", notify.failure), ("refusal", refusal)],
        "on_success_callback": [
            ("breach", notify.breach if stage == "monitor" else ()),
            ("promotion", notify.promotion if stage in ("promote", "rollback") else ()),
        ],
    }
    made = {
        kind: [TaskCallback(pipeline, stage, event, notifier) for event, notifiers in events for notifier in notifiers]
        for kind, events in wanted.items()
    }
    return {kind: callbacks for kind, callbacks in made.items() if callbacks}


def is_refusal(result: StageResult | None, exception: Any) -> bool:
    """Whether a failed task was a validation, test or gate that said no, not one that did not work.

    The result may be of an earlier try: it counts where the stage itself has answered in this one.
    """
    failure = result.failure if result else None
    answered = isinstance(getattr(exception, "__cause__", None), StageFailedError)
    return answered and failure is not None and failure.error == _REFUSED


def describe(result: StageResult | None, exception: Any) -> dict[str, Any]:
    """What templates know: reason, model_version and metrics; each is there, if empty."""
    facts = result.facts if result else {}
    reason = str(exception) if exception is not None else facts.get("reason")
    return {
        "reason": reason or "",
        "model_version": facts.get("model_version") or "",
        "metrics": dict(result.metrics) if result else {},
    }


def _read(uri: str) -> StageResult | None:
    """The stage's result; None where it left none, or it cannot be read now."""
    try:
        return load_result(uri)
    except AirloomError as error:
        _log.info("The notification goes without the stage's result: %s", error)
        return None
