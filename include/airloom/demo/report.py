"""The demo's closing table: every DAG run, every model version, drift by month, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class DagRun:
    """One finished DAG run: its id without the pipeline's prefix, what started it, its state, seconds."""

    dag: str
    cause: str
    state: str
    seconds: float


@dataclass(frozen=True)
class Candidate:
    """One trained model: its registry version where it has one, metrics beside the champion's, what became of it."""

    month: str
    version: str | None
    metrics: Mapping[str, float]
    outcome: str


@dataclass(frozen=True)
class Month:
    """One month of live traffic, as monitoring saw it; `report` is the URI of Evidently's."""

    month: str
    version: str
    requests: int
    failures: int
    drift_share: float | None
    live: Mapping[str, float]
    verdict: str
    report: str | None


@dataclass
class Story:
    """What happened, in order."""

    dag_runs: list[DagRun] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    months: list[Month] = field(default_factory=list)


def print_story(console: Console, story: Story, places: Mapping[str, str]) -> None:
    """Print the three tables and the addresses."""
    runs = _table("DAG runs", ("DAG", "started by", "state", "seconds"))
    for run in story.dag_runs:
        runs.add_row(run.dag, run.cause, run.state, f"{run.seconds:.1f}")
    models = _table("Model versions", ("trained after", "version", "holdout metrics (champion's)", "what became of it"))
    for model in story.candidates:
        models.add_row(model.month, model.version or "–", _beside_champion(model.metrics), model.outcome)
    months = _table("Live months", ("month", "served by", "requests", "failed", "drift share", "live", "verdict"))
    for month in story.months:
        share = "–" if month.drift_share is None else f"{month.drift_share:.2f}"
        live = ", ".join(f"{name} {value:.3f}" for name, value in month.live.items())
        months.add_row(
            month.month, month.version, str(month.requests), str(month.failures), share, live or "–", month.verdict
        )
    for table in (runs, models, months):
        console.print(table)
    for name, place in places.items():
        console.print(f"{name:<22} {place}", soft_wrap=True)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _beside_champion(metrics: Mapping[str, float]) -> str:
    own = {name: value for name, value in metrics.items() if not name.startswith("champion.")}
    parts = []
    for name, value in own.items():
        champion = metrics.get(f"champion.{name}")
        parts.append(f"{name} {value:.3f}" + (f" ({champion:.3f})" if champion is not None else ""))
    return ", ".join(parts) or "–"
