"""The DAG processor's rate among 5,000 pipelines beside that among 200, on a Postgres as installations have it.

Both as it first takes them in, one after the other, and as it reads them again and again, both at once: so whatever
else the machine does meanwhile is the same for both.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.processor import (
    POLL_SECONDS,
    ROOT,
    Installation,
    run_processor,
    take_in,
    tell_faults,
    tell_rates,
)
from tests.executors.servers import Postgres

_AIRFLOW = ROOT / ".venv" / "executors" / "bin" / "airflow"
_FEW, _MANY = 200, 5000
_WINDOW_SECONDS = 240
_START_SECONDS = 120
_GOAL = 1 / 0.8
"""A file's milliseconds beside a file's: the rate is to be 0.8 of the rate at least."""
_BUNDLE = {
    "name": "airloom",
    "classpath": "airloom_airflow.bundles.PipelineDagBundle",
    "kwargs": {"refresh_interval": 30},
}
_SETTINGS: Mapping[str, str | None] = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_BUNDLE]),
    # the embedded Airflow's are short, for one person who waits; these are Airflow's own
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": None,
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": None,
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": None,
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": None,
}


def measure_large() -> Iterator[Figure]:
    """200 against 5,000, taken in and read again."""
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name, Postgres() as server:
        few, many = (_prepare(Path(name), server, count) for count in (_FEW, _MANY))
        taken_few, taken_many = take_in(few, _FEW), take_in(many, _MANY)
        yield from tell_faults(taken_many)
        yield tell_rates(" takes in, on Postgres", taken_many.rate, _MANY, taken_few.rate, _FEW, _GOAL)
        rate_few, rate_many = measure_rates(few, many)
    yield tell_rates(" reads again, on Postgres", rate_many, _MANY, rate_few, _FEW, _GOAL)


def measure_rates(*installations: Installation) -> list[float]:
    """Files a second that each reads, over and over, all at once; what is in the files did not change."""
    with contextlib.ExitStack() as stack:
        reads = []
        for installation in installations:
            at_once = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "0"}
            busy = Installation(
                installation.folder, installation.airflow, {**installation.settings, **at_once}, installation.ask
            )
            reads.append(_Reads(busy))
            stack.enter_context(run_processor(busy))
        _wait_for_reads(reads)
        begun, found = time.monotonic(), [0 for _ in reads]
        while time.monotonic() < begun + _WINDOW_SECONDS:
            time.sleep(10 * POLL_SECONDS)
            found = [before + read.count() for before, read in zip(found, reads, strict=True)]
        seconds = time.monotonic() - begun
    return [count / seconds for count in found]


class _Reads:
    """Counts files as they are read, by when their DAGs were last seen: each but once between two counts."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._newest = installation.ask("SELECT max(last_parsed_time) FROM dag")

    def count(self) -> int:
        """Since the last time."""
        since = f"FROM dag WHERE last_parsed_time > '{self._newest}'"
        files, newest = self._installation.ask(
            f"SELECT count(DISTINCT relative_fileloc) || '|' || coalesce(max(last_parsed_time)::text, '') {since}"
        ).split("|")
        self._newest = newest or self._newest
        return int(files)


def _wait_for_reads(reads: list[_Reads]) -> None:
    """Until each reads files."""
    deadline, waiting = time.monotonic() + _START_SECONDS, reads
    while waiting := [read for read in waiting if not read.count()]:
        if time.monotonic() > deadline:
            raise RuntimeError("a DAG processor reads no file")
        time.sleep(POLL_SECONDS)
    for read in reads:
        read.count()  # what was read while others were waited for does not count


def _prepare(folder: Path, server: Postgres, count: int) -> Installation:
    database = f"airflow{count}"
    if server.ask(f"CREATE DATABASE {database}", "postgres") is None:
        raise RuntimeError(f"Postgres makes no database: {server.tell()}")

    def ask(query: str) -> str:
        found = server.ask(query, database)
        if found is None:
            raise RuntimeError(f"Postgres has no answer to {query}")
        return found

    address = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{server.url.rpartition('/')[0]}/{database}"}
    installation = Installation(folder / str(count), _AIRFLOW, {**_SETTINGS, **address}, ask)
    installation.prepare(count)
    return installation
