"""The bucket goes away while a stage is at work: it waits, and does nothing twice."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.s3_server import S3Server
from tests.scenarios.conftest import Bank
from tests.waiting import wait_until

from airloom.errors import UnavailableError
from airloom.stages import runner
from airloom.stages.stage import Stage, StageOutcome, StageTask


@pytest.fixture
def bank(tmp_path: Path, bucket: str) -> Bank:
    bank = Bank(tmp_path)
    bank.environ["AIRLOOM_ARTIFACTS_URI"] = f"s3://{bucket}/airloom"
    return bank


@dataclass
class Outage:
    """Takes the server away while a stage runs for the first time.

    Attributes:
        before_work: else after it, when only the result is left to be written.
        runs: how often the stage did its work.
        waits: what it logged while it waited.
    """

    server: S3Server
    before_work: bool = False
    runs: int = 0
    waits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.away = contextlib.ExitStack()

    def wrap(self, stage: Stage) -> Stage:
        def run(task: StageTask, outcome: StageOutcome) -> None:
            self.runs += 1
            if not self.before_work:
                stage.run(task, outcome)
            if self.runs == 1:
                self.away.enter_context(self.server.away())
            if self.before_work:
                stage.run(task, outcome)

        return replace(stage, run=run)

    def note(self, record: logging.LogRecord) -> bool:
        if "asking again" in record.getMessage():
            self.waits.append(record.getMessage())
        return True


@pytest.fixture
def outage(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    outage, load, log = Outage(s3_server), runner.load_stage, logging.getLogger("airloom.stages")
    monkeypatch.setattr(runner, "load_stage", lambda name: outage.wrap(load(name)))
    monkeypatch.setattr(log, "filters", [*log.filters, outage.note])
    yield outage
    outage.away.close()


@pytest.mark.parametrize("before_work", [False, True], ids=["its result is left to be written", "its outputs too"])
def test_a_stage_waits_for_its_bucket_and_is_not_run_again(bank: Bank, outage: Outage, before_work: bool) -> None:
    outage.before_work = before_work
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bank.run, "ingest", "r")
        wait_until(lambda: bool(outage.waits) or running.done(), "the stage waits")
        outage.away.close()  # here: the server ends with the thread that started it
        result = running.result(60)
    assert result.status == "succeeded", result.failure
    assert outage.runs == 1
    assert "asking again" in outage.waits[0]
    store = bank.ports.object_store
    assert all(store.exists(artifact.uri) for artifact in result.outputs.values())


@pytest.mark.parametrize("before_work", [False, True], ids=["its result is left to be written", "its outputs too"])
def test_past_its_limit_a_stage_fails_and_says_which_limit_that_is(
    bank: Bank, outage: Outage, before_work: bool
) -> None:
    bank.environ["AIRLOOM_STORE_SECONDS"] = "1"
    outage.before_work = before_work
    with pytest.raises(UnavailableError, match=r"does not answer .* away for 1 s, .* \(AIRLOOM_STORE_SECONDS\)"):
        bank.run("ingest", "r")
    outage.away.close()
    assert not bank.ports.object_store.exists(bank.context("ingest", "r").result_uri)
    assert bank.run("ingest", "r", attempt=2).status == "succeeded"


def test_a_bucket_that_is_away_when_a_stage_begins_fails_it_at_once(bank: Bank, outage: Outage) -> None:
    """There is nothing to lose yet; the orchestrator waits."""
    with outage.server.away(), pytest.raises(UnavailableError, match="does not answer"):
        bank.run("ingest", "r")
    assert (outage.runs, outage.waits) == (0, [])
