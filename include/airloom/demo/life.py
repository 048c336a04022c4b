"""The flight pipeline's life, driven through the embedded Airflow as a person or the schedule would drive it.

Every step is a real DAG run: the demo triggers `train` once and `monitor` after each month; all else (promotion,
retraining on drift, replacement) Airflow does by itself, by assets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airloom.demo.report import Candidate, DagRun, Month, Story
from airloom.demo.world import Traffic, World, send_traffic
from airloom.embedded.airflow_api import AirflowApi
from airloom.errors import PermanentError
from airloom.protocol import StageResult
from airloom.protocol.context import result_uri, run_folder
from airloom.spec.orchestration import Family
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import build_plans, dag_id, find_results_run

_RUN_LIMIT_SECONDS = 180
_MONTHS = ("", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip


@dataclass
class Life:
    """One pipeline and its world.

    Args:
        api: the embedded Airflow.
        read: gives an object's bytes by URI.
        say: tells one line of progress.
    """

    pipeline: Pipeline
    pipeline_uri: str
    api: AirflowApi
    world: World
    gateway_url: str
    read: Callable[[str], bytes]
    say: Callable[[str], None]
    story: Story = field(default_factory=Story)
    _seen: set[str] = field(default_factory=set)

    def begin(self, months: Iterable[int]) -> None:
        """The first flights land; train, gate, register, promote, deploy."""
        months = tuple(months)
        for month in months:
            self.world.land(month)
        self.say(f"flights of {_MONTHS[months[0]]} to {_MONTHS[months[-1]]} 2013 have landed; training the first model")
        self._train(self.api.trigger(self._dag("train"), {}), "you", _MONTHS[months[-1]])

    def live(self, month: int, most: int) -> None:
        """One month: live traffic, the outcomes land, monitoring; on drift a retraining, and maybe a new champion."""
        name = _MONTHS[month]
        traffic = send_traffic(
            self.gateway_url, self.pipeline.full_name, self.world.departures(month, self.pipeline, most)
        )
        self.say(
            f"{name}: {traffic.requests} requests for {traffic.rows} flights answered by version "
            f"{', '.join(traffic.versions)}, {traffic.failures} failed; the outcomes land"
        )
        self.world.land(month)
        run = self._finish("monitor", self.api.trigger(self._dag("monitor"), {}), "the month's end")
        result = self._result(run, "monitor")
        self._note_month(name, traffic, result)
        if result.facts.get("breached"):
            self._train(self._next_run("train"), "drift", name)

    def score(self) -> StageResult:
        """Batch scoring by the champion."""
        run = self._finish("score", self.api.trigger(self._dag("score"), {}), "you")
        return self._result(run, "score")

    def _train(self, run_id: str, cause: str, month: str) -> None:
        run = self._finish("train", run_id, cause, may_fail=True)
        gate = self._result(run, "gate")
        metrics = self._result(run, "evaluate").metrics
        if run["state"] != "success":
            reasons = "; ".join(verdict.reason for verdict in gate.verdicts if not verdict.passed)
            if not reasons:
                raise PermanentError(f"the training run {run_id} failed, and no gate said why; see its log in Airflow")
            self.say(f"turned down: {reasons}")
            self.story.candidates.append(Candidate(month, None, metrics, f"turned down: {reasons}"))
            return
        version = str(self._result(run, "register").facts["model_version"])
        promotion = self._finish("promote", self._next_run("promote"), "a new challenger")
        replaced = self._result(promotion, "promote").facts.get("previous_version")
        outcome = f"replaced version {replaced}" if replaced else "first champion"
        self.say(f"version {version} passed its gate, is champion and served: {outcome}")
        self.story.candidates.append(Candidate(month, version, metrics, outcome))

    def _note_month(self, name: str, traffic: Traffic, result: StageResult) -> None:
        live = {key: value for key, value in result.metrics.items() if key.endswith("_score")}
        self.say(f"{name}: {result.facts.get('reason')}")
        self.story.months.append(
            Month(
                month=name,
                version=", ".join(traffic.versions),
                requests=traffic.requests,
                failures=traffic.failures,
                drift_share=result.metrics.get("drift_share"),
                live=live,
                verdict="breach" if result.facts.get("breached") else "as expected",
                report=result.links.get("Drift report"),
            )
        )

    def _dag(self, family: Family) -> str:
        return dag_id(self.pipeline, family)

    def _next_run(self, family: Family) -> str:
        """The run that Airflow starts by itself."""
        run = self.api.wait_for_new_run(self._dag(family), self._seen, timeout_seconds=_RUN_LIMIT_SECONDS)
        return str(run["dag_run_id"])

    def _finish(self, family: Family, run_id: str, cause: str, *, may_fail: bool = False) -> dict[str, Any]:
        self._seen.add(run_id)
        started = time.monotonic()
        run = self.api.wait_for_run(self._dag(family), run_id, timeout_seconds=_RUN_LIMIT_SECONDS)
        seconds = time.monotonic() - started
        self.story.dag_runs.append(DagRun(family, cause, run["state"], seconds))
        self.say(f"  {self._dag(family)}: {run['state']} in {seconds:.1f} s")
        if run["state"] != "success" and not may_fail:
            raise PermanentError(f"{self._dag(family)} run {run_id} ended {run['state']}; see its log in Airflow")
        return run

    def _result(self, run: dict[str, Any], stage: str) -> StageResult:
        known_as = find_results_run(self.pipeline, run["dag_id"], run["dag_run_id"])
        uri = result_uri(f"{self.pipeline_uri}/runs/{run_folder(known_as)}", stage)
        return StageResult.from_json(self.read(uri))


def wait_for_dags(api: AirflowApi, pipeline: Pipeline, timeout_seconds: float = 60) -> None:
    """Wait until Airflow has taken in all DAGs of the pipeline."""
    for plan in build_plans(pipeline):
        api.wait_for_dag(plan.dag_id, timeout_seconds=timeout_seconds)


def landing_folder(data_root: Path) -> Path:
    """Where the flight pipeline's `batches` source looks."""
    return data_root / "build" / "landing" / "flights"
