"""A figure tells its ratio and whether its goal is met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.bench.figures import Figure, write_figures


@pytest.mark.parametrize(("value", "met"), [(1.3, True), (1.31, False)])
def test_a_goal_is_met_up_to_its_ratio(value: float, met: bool) -> None:
    assert Figure("parse", value, "µs", "by hand", 1.0, 1.3).met is met


def test_figures_are_written_as_a_list_with_their_ratios(tmp_path: Path) -> None:
    write_figures(tmp_path / "build" / "bench.json", [Figure("demo", 150.0, "s", "limit", 300.0, 1.0)])
    (found,) = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert found == {
        "name": "demo",
        "value": 150.0,
        "unit": "s",
        "reference": "limit",
        "reference_value": 300.0,
        "ratio": 0.5,
        "goal": 1.0,
        "met": True,
    }
