"""How long pipeline files take to become DAGs, beside a loop by hand and dag-factory; a task's own re-parse; and what a
worker pays for its DAG on a fresh disk.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.pipelines import write_dag_factory, write_pipelines

from airloom.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
_PYTHON = ROOT / ".venv" / "bench" / "bin" / "python"
_PIPELINES = 1000
_ROUNDS = 3
_FEW, _MANY = 10, 5000
_REPARSE_LIMIT_SECONDS = 0.05
_FRESH_ROUNDS = 7
_FRESH_LIMIT_SECONDS = 0.3
_FRESH_NOISE = 1.1
_LIMIT_SECONDS = 300
_BUNDLE = {"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle", "kwargs": {}}
_LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "AIRFLOW_HOME", "AIRLOOM_HOME"}


def measure_parse() -> Iterator[Figure]:
    """1,000 pipelines, per task of a generated DAG; the three take turns, and the best of each counts."""
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folder = Path(name)
        write_pipelines(folder / "pipelines", _PIPELINES)
        write_dag_factory(folder / "dag-factory", folder / "pipelines")
        best: dict[str, float] = {}
        sizes = set()
        for _ in range(_ROUNDS):
            for mode in ("by-hand", "airloom", "dag-factory"):
                told = _run(mode, folder)
                sizes.add((told["dags"], told["tasks"]))
                best[mode] = min(best.get(mode, float("inf")), told["seconds"] / told["tasks"] * 1e6)
    if len(sizes) != 1:
        raise AssertionError(f"the three built different DAGs: (DAGs, tasks) {sizes}")
    yield Figure("parse, per task", best["airloom"], "µs", "a hand-written loop", best["by-hand"], 1.3)
    yield Figure("parse, per task", best["airloom"], "µs", "dag-factory 1.1.0", best["dag-factory"], 0.25)


def measure_reparse() -> Iterator[Figure]:
    """A task's own re-parse, beyond imports, among few and among many pipelines; in turns, the best of each counts."""
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folders = {count: Path(name) / str(count) for count in (_FEW, _MANY)}
        seconds: dict[int, list[float]] = {count: [] for count in folders}
        for count, folder in folders.items():
            write_pipelines(folder / "pipelines", count)
        for _ in range(_ROUNDS):
            for count, folder in folders.items():
                seconds[count].append(_run("reparse", folder)["seconds"] * 1e3)
    few, many = min(seconds[_FEW]), min(seconds[_MANY])
    yield Figure(f"a task's re-parse, {_MANY:,} pipelines", many, "ms", f"{_FEW} pipelines", few, 1.1)
    yield Figure(f"a task's re-parse, {_MANY:,} pipelines", many, "ms", "limit", _REPARSE_LIMIT_SECONDS * 1e3, 1.0)


def measure_fresh_disk() -> Iterator[Figure]:
    """A worker's own cost to get at its DAG on a disk that never saw a refresh, among few and among many pipelines.

    A fresh process on a fresh disk each time, in turns, and the median counts: the machine's noise is larger than what
    the many could cost.
    """
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folders = {count: Path(name) / str(count) for count in (_FEW, _MANY)}
        seconds: dict[int, list[float]] = {count: [] for count in folders}
        for count, folder in folders.items():
            write_pipelines(folder / "pipelines", count)
        for _ in range(_FRESH_ROUNDS):
            for count, folder in folders.items():
                shutil.rmtree(folder / "bundles", ignore_errors=True)
                seconds[count].append(_run("fresh", folder)["seconds"] * 1e3)
    few, many = statistics.median(seconds[_FEW]), statistics.median(seconds[_MANY])
    title = f"a worker's DAG on a fresh disk, {_MANY:,} pipelines"
    yield Figure(title, many, "ms", f"{_FEW} pipelines", few, _FRESH_NOISE)
    yield Figure(title, many, "ms", "limit", _FRESH_LIMIT_SECONDS * 1e3, 1.0)


def _run(mode: str, folder: Path) -> dict[str, float]:
    home = folder / "airflow"
    home.mkdir(exist_ok=True)
    environ = {
        **{name: value for name, value in os.environ.items() if name not in _LEFT_OUT},
        **SWITCHES,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_BUNDLE]),
        "AIRLOOM_HOME": str(folder / "home"),
        "AIRLOOM_PIPELINES": str(folder / "pipelines"),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [str(_PYTHON), str(Path(__file__).with_name("airflow_programs.py")), mode, str(folder)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{mode} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found
