"""The pipeline file's models: frozen, strict about keys, no I/O. The JSON Schema is generated from them.

Inside `spec` the words are Airflow's and the vendors' own. Every section but `data` and `train` may be left out; its
stage is then not made. What is Airflow's alone lies in `orchestration`, where data comes from in `sources`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from airloom.spec.cron import Cron
from airloom.spec.orchestration import Airflow, Notify, Schedule
from airloom.spec.section import (
    MAX_INTEGER,
    Days,
    DottedPath,
    Hours,
    Minutes,
    MisfitError,
    Name,
    Seconds,
    Section,
    Seed,
)
from airloom.spec.sources import Sink, Source

Metric = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""A scikit-learn metric by the name of its function, such as `roc_auc_score`; see `evaluate`."""


class Metadata(Section):
    """Whose pipeline it is, and what it is called."""

    name: Name
    """The pipeline's name, unique in its team."""
    team: Name
    """Who owns it: the folder below `dags/pipelines` that the file lies in."""
    owner: Annotated[str, StringConstraints(min_length=1, max_length=500)] = "airloom"
    """Shown as the DAGs' owner."""
    tags: tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...] = ()
    """Shown as the DAGs' tags."""
    description: str = ""
    """What it is for, in a sentence; shown with the DAGs."""


class Data(Section):
    """Ingest: sources become one content-addressed dataset version."""

    sources: dict[Name, Source] = Field(min_length=1)
    """Named sources; each is a table of that name in `query` and in the features' queries."""
    query: str | None = None
    """DuckDB SQL over the sources that gives the training rows. Left out: the only source, or the first."""
    key: tuple[str, ...] = ()
    """Columns that identify a row; never features."""
    timestamp: str | None = None
    """Column with each row's event time; never a feature. Splits and windows go by it."""
    window_days: Days | None = Field(default=None, gt=0)
    """Keep only the rows of this many days before the newest `timestamp`."""
    expectations: tuple[dict[str, dict[str, Any]], ...] = ()
    """Great Expectations expectations on the rows, as `- expect_…: {arguments}`; given, `validate` is made."""
    compute: Name | None = None
    """Compute profile of `ingest` and `validate`. Left out: `spec.compute`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window_days is not None and self.timestamp is None:
            raise MisfitError("window_days needs timestamp: name the column with the event time", "window_days")
        for expectation in self.expectations:
            if len(expectation) != 1 or not next(iter(expectation)).startswith("expect_"):
                raise ValueError(f"an expectation is one `expect_…: {{arguments}}` pair, not {sorted(expectation)!r}")
        return self


class FeatureView(Section):
    """One Feast feature view."""

    entity: str
    """Join key: a column of both the training rows and this view's query."""
    query: str | None = None
    """DuckDB SQL over `data.sources`. Left out: the source with the view's name."""
    timestamp: str | None = None
    """Event-time column of the query, for the point-in-time join. Left out: the values hold for all time."""
    ttl_hours: Hours | None = Field(default=None, gt=0)
    """A value older than this is not joined. Left out: no limit."""
    columns: tuple[str, ...] = Field(min_length=1)
    """The feature columns."""


class Features(Section):
    """Features: Feast views, joined point in time to the rows, and materialised online."""

    views: dict[Name, FeatureView] = Field(min_length=1)
    """Named Feast feature views."""
    schedule: Cron | Schedule | None = None
    """Cron, or a mapping with assets too, of the `features` DAG that materialises afresh. Left out: by hand."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""


class Train(Section):
    """Train a scikit-learn estimator, or run the user's own entry point."""

    target: str
    """Column to predict. Rows that have none are left out of the training and its holdout; the summary counts them."""
    task: Literal["classification", "regression"] = "classification"
    """What kind of prediction it is; metrics and monitoring go by it."""
    features: tuple[str, ...] = ()
    """Columns to learn from. Left out: all but key, timestamp and target."""
    estimator: DottedPath | None = None
    """Any scikit-learn estimator class, such as `sklearn.ensemble.HistGradientBoostingClassifier`."""
    entrypoint: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """`module:function` that takes (features: DataFrame, target: Series, params: dict) and returns a fitted
    estimator."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the estimator, or of the entry point."""
    holdout: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows kept for evaluation: the newest where `data.timestamp` is given, else drawn by `seed`."""
    seed: Seed = 0
    """Of the drawn holdout, and of the estimator where it takes `random_state`."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.estimator is None) == (self.entrypoint is None):
            raise ValueError("give exactly one of estimator and entrypoint")
        return self


class Evaluate(Section):
    """Evaluate on the holdout, overall and by slice, the champion beside the new model."""

    metrics: tuple[Metric, ...] = ()
    """Names of metric functions in sklearn.metrics. Left out: usual ones of the task."""
    slices: tuple[str, ...] = ()
    """Columns; every value of each is measured on its own."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""


class Scenario(Section):
    """One behaviour the model must show: rows of features, and what is expected of the predictions."""

    name: str
    """Says the behaviour, in words; the verdict carries it."""
    rows: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Feature values; what is left out is missing (a null)."""
    change: dict[str, Any] | None = None
    """Values put over each row; the predictions after are compared to those before by `expect`."""
    expect: Literal["increase", "decrease", "same"] | None = None
    """How every prediction moves once `change` is put over the rows."""
    tolerance: float = Field(default=1e-6, ge=0)
    """How far predictions may differ and still be the same."""
    minimum: float | None = None
    """Lower bound on every prediction; see `maximum`."""
    maximum: float | None = None
    """Bounds on every prediction (the probability of the positive class, or the regressed value)."""

    @model_validator(mode="after")
    def _expects_something(self) -> Self:
        if (self.change is None) != (self.expect is None):
            raise ValueError("change and expect go together")
        if self.expect is None and self.minimum is None and self.maximum is None:
            raise ValueError("a scenario expects nothing; give change and expect, or minimum, or maximum")
        return self


class Test(Section):
    """Behaviour tests before the gate: scenarios, and regression against the champion."""

    scenarios: tuple[Scenario, ...] = ()
    """Behaviours that the model must show."""
    max_disagreement: float | None = Field(default=None, gt=0, le=1)
    """Share of holdout rows where the new model's decision may differ from the champion's."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""


class Threshold(Section):
    """Bounds on one metric of the new model."""

    min: float | None = None
    """The metric must be at least this."""
    max: float | None = None
    """The metric must be at most this."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class AgainstChampion(Section):
    """Not worse than the champion, both measured on the same holdout."""

    metric: Metric
    """Metric of `evaluate` that is compared."""
    tolerance: float = Field(default=0.0, ge=0)
    """How much worse the new model may be, in the metric's own unit."""


class Gates(Section):
    """The gate: what a model must reach to be registered."""

    thresholds: dict[Metric, Threshold] = Field(default_factory=dict)
    """Bounds by metric of `evaluate`."""
    champion: AgainstChampion | None = None


class Promote(Section):
    """Promotion of a gated challenger to champion."""

    auto: bool = True
    """Promote as soon as a challenger is registered. False: by hand, in the web UI."""


class Deploy(Section):
    """Deployment of the champion."""

    target: Literal["gateway"] = "gateway"
    """Where the champion is served: Airloom's inference gateway."""
    timeout_seconds: Seconds = Field(default=60, gt=0)
    """How long the gateway may take to serve the new champion."""


class Score(Section):
    """Batch scoring by the champion."""

    source: Source
    """Rows to score."""
    sink: Sink
    """Where the rows go, with their predictions."""
    window_days: Days | None = Field(default=None, gt=0)
    """Score only the rows of this many days before the newest `data.timestamp`; in a scheduled run, before its data
    interval's end. Left out: all, also those of days to come."""
    schedule: Cron | Schedule | None = None
    """Cron, or a mapping with assets too, of the `score` DAG. Left out: by hand."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""


class GroundTruth(Section):
    """The true outcomes, which arrive late."""

    source: Source
    """Where the true outcomes arrive, late. Its rows are joined to the logged predictions on `data.key`."""
    target: str | None = None
    """Column with the outcome. Left out: `train.target`."""


class Drift(Section):
    """Evidently's dataset drift, of the features and of the predictions."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Drift is found when at least this share of the columns has drifted."""
    columns: tuple[str, ...] = ()
    """Columns to watch. Left out: all features."""
    prediction: bool = True
    """Watch the predictions too; theirs alone is drift enough."""


class Performance(Section):
    """Live performance against late ground truth."""

    metric: Metric
    """Metric of the logged predictions against the outcomes."""
    min: float | None = None
    """Less than this is a breach."""
    max: float | None = None
    """More than this is a breach."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class Monitor(Section):
    """Monitoring of the deployed champion: its logged predictions against its training data and the truth."""

    schedule: Cron | Schedule | None = None
    """Cron, or a mapping with assets too, of the `monitor` DAG. Left out: by hand."""
    window_days: Days | None = Field(default=None, gt=0)
    """Predictions of this many days before the newest are looked at. Left out: all of the champion's."""
    min_rows: int = Field(default=100, ge=1)
    """With fewer predictions than this no verdict is made."""
    drift: Drift | None = None
    ground_truth: GroundTruth | None = None
    """Where the true outcomes arrive; `performance` needs it."""
    performance: Performance | None = None
    on_breach: Literal["retrain", "alert"] = "retrain"
    """What a breach does: ask for a retraining, or nothing beyond the verdict."""
    cooldown_minutes: Minutes = Field(default=60, ge=0)
    """After a retraining was asked for, this long none is asked for again."""
    compute: Name | None = None
    """Compute profile of this stage. Left out: `spec.compute`."""

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if self.drift is None and self.performance is None:
            raise ValueError("nothing is watched; give drift, performance or both")
        if self.performance is not None and self.ground_truth is None:
            raise ValueError("performance needs ground_truth: say where the outcomes arrive")
        return self


_NO_OPTIONS, _NOBODY = Airflow(), Notify()
"""Frozen, so shared: as plain defaults they would be copied for every pipeline on every parse."""


class Spec(Section):
    """The stages of one pipeline."""

    schedule: Cron | Schedule | None = None
    """Cron, or a mapping with assets too, of the `train` DAG. Left out: by hand and by drift."""
    cache: bool = True
    """Reuse a stage's earlier result when its inputs, code and parameters are the same."""
    retries: int = Field(default=2, ge=0, le=MAX_INTEGER)
    """How often a transient failure is retried."""
    retry_delay_seconds: Seconds = Field(default=30, ge=0)
    """How long to wait before a retry."""
    compute: Name = "cpu-small"
    """Compute profile of every stage whose section names none; profiles are the installation's (its cluster file)."""
    execution: Literal["separate", "fused"] = "separate"
    """Fused: consecutive stages of one compute profile share a pod (one start, libraries loaded once); each stays a
    task with its own state, log, result and retry. Where stages are no pods it changes nothing."""
    data: Data
    features: Features | None = None
    train: Train
    evaluate: Evaluate | None = None
    test: Test | None = None
    gates: Gates | None = None
    promote: Promote | None = None
    deploy: Deploy | None = None
    score: Score | None = None
    monitor: Monitor | None = None
    airflow: Airflow = Field(default_factory=lambda: _NO_OPTIONS)
    notify: Notify = Field(default_factory=lambda: _NOBODY)

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        columns = {*self.data.key, self.data.timestamp}
        if self.train.target in columns:
            message = f"train.target {self.train.target!r} is data.key or data.timestamp too"
            raise MisfitError(message, "train", "target")
        if self.gates and (self.gates.thresholds or self.gates.champion) and self.evaluate is None:
            raise MisfitError("gates need evaluate: add an evaluate section (it may be empty: `evaluate: {}`)", "gates")
        if self.monitor and self.monitor.ground_truth and not self.data.key:
            message = "monitor.ground_truth needs data.key: the columns that join outcomes to predictions"
            raise MisfitError(message, "monitor", "ground_truth")
        if self.score and self.score.window_days is not None and self.data.timestamp is None:
            message = "score.window_days needs data.timestamp: name the column with the event time"
            raise MisfitError(message, "score", "window_days")
        timed = [family for family, options in self.airflow.dags.items() if options.deadline_seconds is not None]
        if timed and not self.notify.late:
            message = f"deadline_seconds of {', '.join(timed)} calls nobody: list notifiers under notify.late"
            raise MisfitError(message, "airflow", "dags", timed[0], "deadline_seconds")
        return self


class Pipeline(Section):
    """A whole pipeline file, resolved: defaults and the environment's overlay are already merged in."""

    apiVersion: Literal["airloom.io/v1"]
    kind: Literal["Pipeline"]
    metadata: Metadata
    """Whose pipeline it is, and what it is called."""
    spec: Spec

    @model_validator(mode="after")
    def _starts_no_dag_by_its_own_work(self) -> Self:
        """A DAG that is started by what it updates runs for ever. See `plan` for what each updates."""
        spec = self.spec
        updated = (
            ("schedule", spec.schedule, ("dataset", "model")),
            ("features", spec.features and spec.features.schedule, ("dataset",)),
            ("monitor", spec.monitor and spec.monitor.schedule, ("drift",)),
        )
        for section, schedule, kinds in updated:
            own = {f"airloom://{self.metadata.team}/{self.metadata.name}/{kind}" for kind in kinds}
            if isinstance(schedule, Schedule) and (circle := own.intersection(schedule.assets)):
                path = ("schedule",) if section == "schedule" else (section, "schedule")
                message = f"given {circle.pop()!r}, which this DAG updates itself: each run would start another"
                raise MisfitError(message, "spec", *path, "assets")
        return self

    @property
    def full_name(self) -> str:
        """`<team>.<pipeline>`: the MLflow model and experiment, and the gateway's model name."""
        return f"{self.metadata.team}.{self.metadata.name}"
