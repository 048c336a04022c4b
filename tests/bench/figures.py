"""A measured figure beside what it is measured against, and how the two are told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SPEEDUPS_OFF: Mapping[str, str] = {"AIRLOOM_SPEEDUPS": "off"}
"""Environment of an Airflow without Airloom's patches (`airloom_airflow.speedups`)."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        value: what was measured, in `unit`.
        reference: what it stands beside: a peer measured in the same run, or the limit.
        reference_value: that one's figure, in `unit`.
        goal: what the ratio `value / reference_value` may be at most; None: none is set.
    """

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float
    goal: float | None

    @property
    def ratio(self) -> float:
        return self.value / self.reference_value

    @property
    def met(self) -> bool:
        return self.goal is None or self.ratio <= self.goal

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "reference": self.reference,
            "reference_value": self.reference_value,
            "ratio": self.ratio,
            "goal": self.goal,
            "met": self.met,
        }


def build_without(name: str, seconds: float, with_them: float) -> Figure:
    """A figure taken again in an Airflow without speedups, beside itself with them."""
    return Figure(f"{name}, without speedups", seconds, "s", "with them", with_them, None)


def write_figures(path: Path, figures: Mapping[str, Iterable[Figure]]) -> None:
    """Figures by measurement → a JSON list, in which those of measurements that were not taken stay as they were."""
    kept = json.loads(path.read_text()) if path.exists() else []
    fresh = [{"measurement": name, **figure.to_json()} for name, found in figures.items() for figure in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps([*(one for one in kept if one.get("measurement") not in figures), *fresh], indent=2) + "\n"
    )


def print_figures(console: Console, figures: Iterable[Figure]) -> None:
    """All figures as a table."""
    table = Table(title="Measured, and what it stands beside", title_justify="left")
    for column in ("figure", "measured", "beside", "", "ratio", "goal", "met"):
        table.add_column(column, overflow="fold")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:.4g} {figure.unit}",
            f"{figure.reference_value:.4g} {figure.unit}",
            figure.reference,
            f"{figure.ratio:.2f}",
            "" if figure.goal is None else f"≤ {figure.goal:g}",
            "" if figure.goal is None else "[green]yes[/green]" if figure.met else "[red]no[/red]",
        )
    console.print(table)
