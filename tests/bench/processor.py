"""How fast Airflow's own DAG processor takes in Airloom's pipelines, whether it loses any, and what it reads again."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.pipelines import write_pipelines

from airloom.embedded.airflow_environment import build_airflow_environ, prepare_airflow
from airloom.telemetry import SWITCHES

ROOT = Path(__file__).parents[2]
DAGS_A_PIPELINE = 6
POLL_SECONDS = 0.5
_AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "airflow"
_FEW, _MANY = 200, 1000
_STALL_SECONDS = 120
_SETTLE_SECONDS = 12


@dataclass(frozen=True)
class Installation:
    """An Airflow whose DAG processor is measured.

    Attributes:
        folder: everything that is its own lies below, the pipeline files in `pipelines`.
        airflow: the program.
        settings: what its environment has beside the embedded Airflow's; None takes a variable out.
        ask: what a statement gives in its database, the first row's first value.
    """

    folder: Path
    airflow: Path
    settings: Mapping[str, str | None]
    ask: Callable[[str], str]

    @property
    def pipelines(self) -> Path:
        return self.folder / "pipelines"

    @property
    def environ(self) -> dict[str, str]:
        home = self.folder / "airflow"
        found: dict[str, str | None] = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            **SWITCHES,
            **build_airflow_environ(home, 1, None),
            "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
            "AIRLOOM_HOME": str(self.folder),
            "AIRLOOM_PIPELINES": str(self.pipelines),
            **self.settings,
        }
        return {key: value for key, value in found.items() if value is not None}

    def prepare(self, count: int) -> None:
        """Write the pipeline files, and make the database."""
        write_pipelines(self.pipelines, count)
        prepare_airflow(self.folder / "airflow")
        subprocess.run([str(self.airflow), "db", "migrate"], env=self.environ, check=True, capture_output=True)

    def count(self, query: str) -> int:
        return int(self.ask(query))


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
    def rate(self) -> float:
        """Files a second."""
        return self.pipelines / self.seconds


def measure_processor() -> Iterator[Figure]:
    """200 against 1,000: linear where a file costs the same in both."""
    taken = []
    for count in (_FEW, _MANY):
        with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
            database = Path(name) / "airflow" / "airflow.db"
            installation = Installation(Path(name), _AIRFLOW, {}, functools.partial(_ask_sqlite, database))
            installation.prepare(count)
            taken.append(take_in(installation, count))
    few, many = taken
    yield from tell_faults(many)
    yield tell_rates("", many.rate, many.pipelines, few.rate, few.pipelines, 1.15)


def take_in(installation: Installation, count: int) -> Intake:
    """Start a DAG processor on pipelines it has never seen, and wait until it has all their DAGs; change one."""
    with run_processor(installation) as log:
        seconds = _wait_for_dags(installation, count * DAGS_A_PIPELINE, log)
        again = _change_one(installation, log)
        errors = installation.count("SELECT count(*) FROM import_error")
        lost = count * DAGS_A_PIPELINE - installation.count("SELECT count(*) FROM dag WHERE NOT is_stale")
        timeouts = log.read_text(errors="replace").lower().count("timed out")
    return Intake(count, seconds, lost, errors, timeouts, again)


def tell_rates(what: str, many: float, count_many: int, few: float, count_few: int, goal: float) -> Figure:
    """Milliseconds a file among many pipelines beside those among few, of their rates in files a second."""
    return Figure(
        f"DAG processor{what}, per file of {count_many:,} ({many:.1f} files/s)",
        1e3 / many,
        "ms",
        f"per file of {count_few} ({few:.1f} files/s)",
        1e3 / few,
        goal,
    )


def tell_faults(intake: Intake) -> Iterator[Figure]:
    faults = intake.lost + intake.errors + intake.timeouts
    # Beside a limit of one, so that the ratio can be told: none may be lost.
    yield Figure(f"lost DAGs, errors, time-outs of {intake.pipelines:,} pipelines", faults, "", "none", 1, 0)
    yield Figure("files read again after one changed", intake.read_again, "files", "the changed file", 1, 1)


@contextlib.contextmanager
def run_processor(installation: Installation) -> Iterator[Path]:
    """A DAG processor, until the block ends; gives its log."""
    log = installation.folder / "processor.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(installation.airflow), "dag-processor"],
            env=installation.environ,
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


def _wait_for_dags(installation: Installation, wanted: int, log: Path) -> float:
    """Seconds from before the first DAG to the last: to all of them, or to where no more come."""
    begun: float | None = None
    known, moved = 0, time.monotonic()
    while True:
        before = time.monotonic()
        found = installation.count("SELECT count(*) FROM serialized_dag")
        if found != known:
            begun = begun or before - POLL_SECONDS
            known, moved = found, before
        if begun is not None and (found >= wanted or before - moved > _STALL_SECONDS):
            return moved - begun
        if before - moved > _STALL_SECONDS:
            raise RuntimeError(f"no DAG comes:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_SECONDS)


def _change_one(installation: Installation, log: Path) -> int:
    """How many files are read once one pipeline file has changed."""
    newest = installation.ask("SELECT max(last_parsed_time) FROM dag")
    file = next(installation.pipelines.glob("*/*.yaml"))
    file.write_text(file.read_text().replace("One of many", "One that changed"))
    changed = f"SELECT count(*) FROM dag WHERE description LIKE '%One that changed%' AND last_parsed_time > '{newest}'"
    deadline = time.monotonic() + _STALL_SECONDS
    while installation.count(changed) < DAGS_A_PIPELINE:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a changed pipeline file is not taken up:\n{log.read_text()[-2000:]}")
        time.sleep(POLL_SECONDS)
    time.sleep(_SETTLE_SECONDS)  # two more looks at the folder: what else was to be read again would be by then
    return installation.count(f"SELECT count(DISTINCT relative_fileloc) FROM dag WHERE last_parsed_time > '{newest}'")


def _ask_sqlite(database: Path, query: str) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return str(connection.execute(query).fetchone()[0])
