"""What a family's DAG says of itself in the web UI: what it does, when, within which limits, started with what.

`dag` calls it. Pure: made from the pipeline file alone, so the same pipeline always says the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from airloom.spec.orchestration import Family
from airloom.spec.parameters import build_forms
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import DagPlan, asset_uri

PURPOSES: dict[Family, str] = {
    "train": "trains a model and registers it where the gate lets it through",
    "features": "materialises the features afresh",
    "score": "scores in batch by the champion",
    "monitor": "watches the deployed model",
    "promote": "promotes a registered model to champion",
    "rollback": "makes an earlier champion champion again",
}
"""What each family does, in a sentence."""


def build_documentation(pipeline: Pipeline, plan: DagPlan, source: str) -> str:
    """Markdown.

    Args:
        pipeline: the resolved pipeline file.
        plan: the DAG's plan.
        source: the pipeline file and the digest of what it resolves to.
    """
    purpose = PURPOSES[plan.family]
    parts = [f"This DAG {purpose}.", pipeline.metadata.description, _describe_start(pipeline, plan)]
    parts.append(f"**Tasks:** {' → '.join(f'`{task.stage}`' for task in plan.tasks)}")
    parts.append("**Limits:**\n\n" + "\n".join(f"- {limit}" for limit in _describe_limits(pipeline, plan)))
    if forms := build_forms(plan.family):
        told = "\n".join(f"- `{name}`: {description}" for name, (description, _) in forms.items())
        parts.append(f"**A run may be started with:**\n\n{told}")
    parts.append(f"Pipeline `{pipeline.full_name}`, made from {source}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe_start(pipeline: Pipeline, plan: DagPlan) -> str:
    airflow = pipeline.spec.airflow
    starts = [f"by cron `{plan.schedule}` ({airflow.timezone})"] if plan.schedule else []
    starts += [f"by an update of `{asset_uri(pipeline, kind)}`" for kind in plan.triggers]
    if plan.others is not None:
        names = [f"`{name}`" for name in plan.others.assets] + [f"alias `{name}`" for name in plan.others.aliases]
        starts.append(f"by updates of {plan.others.when} of {', '.join(names)}")
    start = f"**Starts** {', '.join([*starts, 'or by hand'] if starts else ['by hand'])}."
    if plan.schedule and airflow.start_date:
        made_up = ", and makes up for those missed" if airflow.find_dag_options(plan.family).catchup else ""
        start += f" Cron times count from {airflow.start_date} on{made_up}."
    return start


def _describe_limits(pipeline: Pipeline, plan: DagPlan) -> Iterator[str]:
    spec = pipeline.spec
    if plan.family == "train":
        yield from _describe_training(pipeline)
    elif plan.family == "score" and spec.score is not None:
        if spec.score.window_days is not None:
            yield f"scores the {spec.score.window_days:g} days before the newest row"
        yield f"from a {spec.score.source.type} source into a {spec.score.sink.type} sink"
    elif plan.family == "monitor":
        yield from _describe_monitoring(pipeline)
    elif plan.family == "promote" and spec.deploy is not None:
        yield f"the {spec.deploy.target} must serve the version within {spec.deploy.timeout_seconds:g} s"
    yield f"a transient failure is retried {spec.retries} times, after {spec.retry_delay_seconds:g} s"
    options = spec.airflow.find_dag_options(plan.family)
    yield f"at most {options.max_active_runs} run{'s' * (options.max_active_runs > 1)} at once"
    if options.deadline_seconds is not None:
        yield f"late {options.deadline_seconds:g} s after it was queued"


def _describe_training(pipeline: Pipeline) -> Iterator[str]:
    spec = pipeline.spec
    if spec.data.window_days is not None:
        yield f"rows of the {spec.data.window_days:g} days before the newest"
    if spec.data.expectations:
        yield f"{len(spec.data.expectations)} expectations on the rows must hold"
    if spec.test is not None and spec.test.scenarios:
        yield f"{len(spec.test.scenarios)} scenarios must hold"
    if spec.test is not None and spec.test.max_disagreement is not None:
        yield f"at most {spec.test.max_disagreement:.0%} of the decisions may differ from the champion's"
    for metric, threshold in spec.gates.thresholds.items() if spec.gates else ():
        if threshold.min is not None:
            yield f"`{metric}` must be at least {threshold.min:g}"
        if threshold.max is not None:
            yield f"`{metric}` must be at most {threshold.max:g}"
    if spec.gates is not None and spec.gates.champion is not None:
        yield f"`{spec.gates.champion.metric}` at most {spec.gates.champion.tolerance:g} worse than the champion's"


def _describe_monitoring(pipeline: Pipeline) -> Iterator[str]:
    monitor = pipeline.spec.monitor
    assert monitor is not None
    if monitor.window_days is not None:
        yield f"judges the predictions of the {monitor.window_days:g} days before the newest"
    yield f"no verdict with fewer than {monitor.min_rows} predictions"
    if monitor.drift is not None:
        too = " or of the predictions" if monitor.drift.prediction else ""
        yield f"a breach: drift of {monitor.drift.share:.0%} of the columns{too}"
    if monitor.performance is not None:
        metric = monitor.performance.metric
        if monitor.performance.min is not None:
            yield f"a breach: `{metric}` below {monitor.performance.min:g}"
        if monitor.performance.max is not None:
            yield f"a breach: `{metric}` above {monitor.performance.max:g}"
    if monitor.on_breach == "retrain":
        yield f"a breach asks for a training, none again within {monitor.cooldown_minutes:g} minutes; a backfill never"
