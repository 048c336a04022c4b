"""A figure tells its ratio and whether its goal is met; the bench writes what it measured, whatever broke."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.bench import __main__ as program
from tests.bench.figures import Figure, write_figures
from tests.bench.setup_and_demo import measure_setup_and_demo


@pytest.mark.parametrize(("value", "met"), [(1.3, True), (1.31, False)])
def test_a_goal_is_met_up_to_its_ratio(value: float, met: bool) -> None:
    assert Figure("parse", value, "µs", "by hand", 1.0, 1.3).met is met


def test_figures_are_written_as_a_list_with_their_ratios(tmp_path: Path) -> None:
    write_figures(tmp_path / "build" / "bench.json", {"demo": [Figure("demo", 150.0, "s", "limit", 300.0, 1.0)]})
    (found,) = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert found == {
        "measurement": "demo",
        "name": "demo",
        "value": 150.0,
        "unit": "s",
        "reference": "limit",
        "reference_value": 300.0,
        "ratio": 0.5,
        "goal": 1.0,
        "met": True,
    }


def test_figures_of_a_measurement_replace_its_own_alone(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write_figures(path, {"parse": [Figure("few", 1.0, "s", "limit", 1.0, None)], "large": []})
    write_figures(path, {"large": [Figure("many", 1.0, "s", "limit", 1.0, None)]})
    write_figures(path, {"large": [Figure("more", 1.0, "s", "limit", 1.0, None)]})
    assert [figure["name"] for figure in json.loads(path.read_text())] == ["few", "more"]


def test_a_missed_figure_is_no_failure(bench: Callable[..., list[dict[str, Any]]]) -> None:
    (missed,) = bench({"slow": lambda: [Figure("slow", 2.0, "s", "limit", 1.0, 1.0)]}, status=0)
    assert missed["met"] is False


def test_a_broken_measurement_fails_and_the_others_are_still_written(
    bench: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Iterator[Figure]:
        yield Figure("before it broke", 1.0, "s", "limit", 1.0, 1.0)
        raise RuntimeError("the clock stopped")

    found = bench({"broken": broken, "good": lambda: [Figure("good", 1.0, "s", "limit", 1.0, 1.0)]}, status=1)
    assert [figure["name"] for figure in found] == ["before it broke", "good"]
    assert "the clock stopped" in capsys.readouterr().err


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs the bench with other measurements; gives what it wrote."""

    def run(measurements: dict[str, Callable[[], Iterable[Figure]]], status: int) -> list[dict[str, Any]]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(program, "_MEASUREMENTS", measurements)
        assert program.main([]) == status
        found = json.loads((tmp_path / "build" / "bench.json").read_text())
        assert isinstance(found, list)
        return found

    return run


def test_what_other_commands_measured_is_told_beside_its_limit_and_what_they_did_not_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "pip.json").write_text('{"seconds": 90.0}')
    monkeypatch.chdir(tmp_path)
    [found] = measure_setup_and_demo()
    assert (found.name, found.value, found.ratio, found.met) == ("pip install to first model", 90.0, 0.5, True)
    assert "demo.json is not there: `make demo`" in capsys.readouterr().out
