"""Faults: servers away, a stage killed, a disk full, a stage run twice. Nothing is registered twice, nothing half done
counts as done, and no secret comes out."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from tests.scenarios.conftest import TRAINING, Bank, make_loans

from airloom.adapters.openlineage import FileLineageSink
from airloom.embedded import processes
from airloom.errors import AirloomError, TransientError
from airloom.protocol import StageContext, StageResult
from airloom.protocol.context import result_uri
from airloom.protocol.launch import launch_stage

SECRET = "hunter2-and-more"


def versions(bank: Bank) -> int:
    found = bank.ports.model_registry.find("credit.loans", "challenger")
    return int(found.version) if found else 0


def test_mlflow_away_is_transient_and_the_retry_registers_once(bank: Bank) -> None:
    bank.run("ingest", "r")
    bank.environ["AIRLOOM_TRACKING_URI"] = "http://127.0.0.1:1"
    result = bank.run("train", "r")
    assert result.status == "failed"
    assert result.failure
    assert result.failure.family == "transient"
    assert "127.0.0.1:1" in result.failure.message
    del bank.environ["AIRLOOM_TRACKING_URI"]
    assert versions(bank) == 0
    assert bank.run("train", "r", attempt=2).status == "succeeded"
    for stage in ("evaluate", "gate", "register"):
        assert bank.run(stage, "r").status == "succeeded"
    again = bank.run("register", "r", attempt=2)
    assert again.facts["model_version"] == "1"
    assert versions(bank) == 1


def test_a_stage_given_up_for_lost_publishes_nothing_over_the_one_after_it(bank: Bank) -> None:
    bank.run("ingest", "r", attempt=2)
    with pytest.raises(TransientError, match="attempt 2 of this stage has published"):
        bank.run("ingest", "r", attempt=1)
    context = bank.context("ingest", "r")
    assert StageResult.from_json(bank.ports.object_store.read(context.result_uri)).attempt == 2


@pytest.mark.parametrize("kind", ["folder", "bucket", "container"])
def test_nor_over_one_that_publishes_between_its_look_and_its_writing(
    bank: Bank, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = {"bucket": "s3", "container": "az"}.get(kind)
    if scheme:
        bank.environ["AIRLOOM_ARTIFACTS_URI"] = f"{scheme}://{request.getfixturevalue(kind)}/airloom"
    end = FileLineageSink.end

    def let_the_other_publish(sink: FileLineageSink, context: StageContext, result: StageResult) -> None:
        """Each attempt has looked by now, and has not published yet."""
        end(sink, context, result)
        if context.attempt == 2:
            bank.run("ingest", "r", attempt=3)
        if context.attempt == 1:
            with pytest.raises(TransientError, match="attempt 3 of this stage has published"):
                bank.run("ingest", "r", attempt=2)

    monkeypatch.setattr(FileLineageSink, "end", let_the_other_publish)
    with pytest.raises(TransientError, match="attempt 3 of this stage has published"):
        bank.run("ingest", "r", attempt=1)
    context = bank.context("ingest", "r")
    assert StageResult.from_json(bank.ports.object_store.read(context.result_uri)).attempt == 3


@pytest.mark.parametrize("line", ["fitting", ""], ids=["while it fits", "as it starts"])
def test_a_stage_killed_midway_gives_the_same_when_run_again(bank: Bank, line: str) -> None:
    bank.run("ingest", "r")
    context = bank.context("train", "r")
    others = set(processes.descendants(os.getpid()))  # servers of other tests

    def kill(told: str) -> None:
        if line in told:
            for pid in set(processes.descendants(os.getpid())) - others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    if not line:
        killer = threading.Thread(target=_kill_first_child, args=(others,), daemon=True)
        killer.start()
    environ = {**os.environ, **bank.environ, "AIRLOOM_STAGE_CPU_THREADS": "1"}
    with pytest.raises(TransientError):
        launch_stage(context, python=sys.executable, host=None, environ=environ, log=kill, cpu_threads=1)
    assert not bank.ports.object_store.exists(result_uri(context.run_uri, "train"))
    results = {stage: bank.run(stage, "r", attempt=2) for stage in ("train", "evaluate", "gate", "register")}
    assert [result.status for result in results.values()] == ["succeeded"] * 4
    assert bank.run("register", "r", attempt=3).facts["model_version"] == "1"
    other = bank.train("other")
    assert other["evaluate"].metrics == results["evaluate"].metrics


def _kill_first_child(others: set[int]) -> None:
    while not (below := set(processes.descendants(os.getpid())) - others):
        threading.Event().wait(0.001)
    for pid in below:
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The disk refuses the rest of any file beyond so many bytes, as a full one does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_result_that_does_not_fit_the_disk_is_never_a_success(bank: Bank) -> None:
    context = bank.context("ingest", "r")
    with files_of_at_most(200), pytest.raises((AirloomError, OSError)):
        bank.run("ingest", "r")
    assert not bank.ports.object_store.exists(result_uri(context.run_uri, "ingest"))
    assert bank.run("ingest", "r", attempt=2).status == "succeeded"


def test_a_password_that_is_an_ordinary_word_breaks_no_stage(bank: Bank) -> None:
    """What is masked is text for people, and not what later stages go by: keys, numbers, where outputs lie."""
    home = Path(bank.settings.home).parent.name
    bank.environ |= {"MLFLOW_TRACKING_PASSWORD": "mlflow", "DB_PASSWORD": "features", "AIRLOOM_SECRET_HOME": home}
    bank.environ |= {f"AIRLOOM_SECRET_PIN{number}": str(number) for number in range(1000, 1200)}
    results = bank.train("r")
    assert {stage: result.failure for stage, result in results.items()} == dict.fromkeys(TRAINING)
    assert "mlflow_run_id" in results["train"].facts


def test_no_secret_comes_out_of_a_stage(bank: Bank, monkeypatch: pytest.MonkeyPatch, capfd: object) -> None:
    database = bank.folder / f"{SECRET}.duckdb"
    with duckdb.connect(str(database)) as connection:
        loans = make_loans()
        connection.execute("CREATE TABLE loans AS FROM loans")
        assert len(loans)
    bank.change("{type: csv, path: loans.csv}", "{type: sql, database: {secret: bank_db}, query: SELECT * FROM loans}")
    monkeypatch.setenv("AIRLOOM_SECRET_BANK_DB", str(database))
    good = bank.run("ingest", "r")
    assert good.status == "succeeded", good.failure
    database.unlink()
    bad = bank.run("ingest", "again")
    assert bad.status == "failed"
    for path in Path(bank.settings.home).rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    out, err = capfd.readouterr()  # type: ignore[attr-defined]
    assert SECRET not in out + err
