"""How fast Airflow's own DAG processor takes in Airloom's pipelines, whether it loses any, and what it reads again."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.pipelines import write_pipelines

from airloom.embedded.airflow_environment import build_airflow_environ, prepare_airflow
from airloom.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
_AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "airflow"
_DAGS_A_PIPELINE = 6
_FEW, _MANY, _LARGE = 200, 1000, 5000
_POLL_SECONDS = 0.5
_STALL_SECONDS = 120
_SETTLE_SECONDS = 12


@dataclass(frozen=True)
class Intake:
    """What came of taking in pipelines: seconds from the first DAG to the last, and what was read again after one
    pipeline file had changed."""

    pipelines: int
    seconds: float
    lost: int
    errors: int
    timeouts: int
    read_again: int

    @property
    def files_a_second(self) -> float:
        return self.pipelines / self.seconds


def measure_processor() -> Iterator[Figure]:
    """200 against 1,000: linear where a file costs the same in both."""
    yield from _measure(_MANY)


def measure_large() -> Iterator[Figure]:
    """200 against 5,000."""
    yield from _measure(_LARGE)


def _measure(count: int) -> Iterator[Figure]:
    few, many = take_in(_FEW), take_in(count)
    yield from _tell(many)
    yield Figure(
        f"DAG processor, per file of {count:,} ({many.files_a_second:.1f} files/s)",
        1e3 / many.files_a_second,
        "ms",
        f"per file of {_FEW} ({few.files_a_second:.1f} files/s)",
        1e3 / few.files_a_second,
        1.15,
    )


def take_in(count: int) -> Intake:
    """Start a DAG processor on pipelines it has never seen, and wait until it has all their DAGs; change one."""
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        home, pipelines = Path(name) / "airflow", Path(name) / "pipelines"
        write_pipelines(pipelines, count)
        prepare_airflow(home)
        environ = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            **SWITCHES,
            **build_airflow_environ(home, 1, None),
            "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
            "AIRLOOM_HOME": name,
            "AIRLOOM_PIPELINES": str(pipelines),
        }
        subprocess.run([str(_AIRFLOW), "db", "migrate"], env=environ, check=True, capture_output=True)
        with _processor(environ, Path(name) / "processor.log") as log:
            database = home / "airflow.db"
            seconds = _wait_for_dags(database, count * _DAGS_A_PIPELINE, log)
            again = _change_one(database, pipelines, log)
            errors = _count(database, "SELECT count(*) FROM import_error")
            lost = count * _DAGS_A_PIPELINE - _count(database, "SELECT count(*) FROM dag WHERE NOT is_stale")
            timeouts = log.read_text(errors="replace").lower().count("timed out")
    return Intake(count, seconds, lost, errors, timeouts, again)


def _tell(intake: Intake) -> Iterator[Figure]:
    faults = intake.lost + intake.errors + intake.timeouts
    # Beside a limit of one, so that the ratio can be told: none may be lost.
    yield Figure(f"lost DAGs, errors, time-outs of {intake.pipelines:,} pipelines", faults, "", "none", 1, 0)
    yield Figure("files read again after one changed", intake.read_again, "files", "the changed file", 1, 1)


@contextlib.contextmanager
def _processor(environ: Mapping[str, str], log: Path) -> Iterator[Path]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(_AIRFLOW), "dag-processor"],
            env=dict(environ),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for_dags(database: Path, wanted: int, log: Path) -> float:
    """Seconds from before the first DAG to the last: to all of them, or to where no more come."""
    begun: float | None = None
    known, moved = 0, time.monotonic()
    while True:
        before = time.monotonic()
        found = _count(database, "SELECT count(*) FROM serialized_dag")
        if found != known:
            begun = begun or before - _POLL_SECONDS
            known, moved = found, before
        if begun is not None and (found >= wanted or before - moved > _STALL_SECONDS):
            return moved - begun
        if before - moved > _STALL_SECONDS:
            raise RuntimeError(f"no DAG comes:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(_POLL_SECONDS)


def _change_one(database: Path, pipelines: Path, log: Path) -> int:
    """How many files are read once one pipeline file has changed."""
    newest = _text(database, "SELECT max(last_parsed_time) FROM dag")
    file = next(pipelines.glob("*/*.yaml"))
    file.write_text(file.read_text().replace("One of many", "One that changed"))
    changed = f"SELECT count(*) FROM dag WHERE description LIKE '%One that changed%' AND last_parsed_time > '{newest}'"
    deadline = time.monotonic() + _STALL_SECONDS
    while _count(database, changed) < _DAGS_A_PIPELINE:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a changed pipeline file is not taken up:\n{log.read_text()[-2000:]}")
        time.sleep(_POLL_SECONDS)
    time.sleep(_SETTLE_SECONDS)  # two more looks at the folder: what else was to be read again would be by then
    return _count(database, f"SELECT count(DISTINCT relative_fileloc) FROM dag WHERE last_parsed_time > '{newest}'")


def _count(database: Path, query: str) -> int:
    return int(_text(database, query))


def _text(database: Path, query: str) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return str(connection.execute(query).fetchone()[0])
