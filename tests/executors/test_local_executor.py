"""LocalExecutor on Postgres: two schedulers and triggerers, every part on a disk of its own, objects in a bucket."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.executors.faults import count_versions, has_database, require_once, start_training, wait_for_training
from tests.executors.flights import live_through
from tests.executors.installation import Installation, run_installation
from tests.executors.shared import run_shared
from tests.s3_server import S3Server

pytestmark = pytest.mark.timeout(300, func_only=True)  # the first test waits for the servers and all parts
_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "scheduler-2", "triggerer-1", "triggerer-2")
_TRIGGERERS = {"triggerer-1", "triggerer-2"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, disk: Path) -> Iterator[Installation]:
    with (
        run_shared(tmp_path_factory.mktemp("shared"), s3_server, "bucket", broker=False) as shared,
        run_installation(tmp_path_factory.mktemp("airflow"), shared, disk, _PARTS) as made,
    ):
        yield made


def test_the_flight_pipeline_becomes_a_served_champion(installation: Installation) -> None:
    parts = live_through(installation)
    assert set(parts.values()) <= {"scheduler-1", "scheduler-2"}, parts


def test_a_triggerer_that_stalls_and_comes_back_loses_nothing_and_runs_nothing_twice(
    installation: Installation,
) -> None:
    awaited = installation.trigger("held", name="awaited")
    installation.wait(lambda: len(installation.read("awaited.*.begun")) == 2, "the awaited run is under way")
    by_ledger = installation.trigger("deferring", name="stalled")
    by_airloom = installation.trigger("after_held", name="later")
    for run in (by_ledger, by_airloom):
        run.wait_for("deferred")
    watchers = [*by_ledger.wait_for_watchers(_TRIGGERERS).values(), *by_airloom.wait_for_watchers(_TRIGGERERS).values()]
    name = max(_TRIGGERERS, key=watchers.count)
    with installation.parts[name].stalled():
        others = _TRIGGERERS - {name}
        for run in (by_ledger, by_airloom):
            run.wait_for_watchers(others)
        installation.let_go("stalled")
        assert by_ledger.end() == "success"
    installation.wait(lambda: name in installation.living(), "the triggerer is back")
    assert {task["state"] for task in by_airloom.tasks.values()} == {"deferred"}
    installation.let_go("awaited")
    assert (awaited.end(), by_airloom.end()) == ("success", "success")
    for run, entry in ((awaited, "awaited"), (by_ledger, "stalled"), (by_airloom, "later")):
        require_once(run, entry)
        assert {task["try_number"] for task in run.tasks.values()} == {1}


def test_a_database_that_restarts_under_running_and_deferred_tasks_costs_nothing(installation: Installation) -> None:
    versions = count_versions(installation)
    training, _ = start_training(installation)
    deferring = installation.trigger("deferring", name="outage")
    deferring.wait_for("deferred")
    deferring.wait_for_watchers(_TRIGGERERS)
    with installation.shared.postgres.away(signal.SIGINT):
        installation.wait(lambda: not has_database(installation), "Airflow misses its database")
    installation.let_go("training")
    installation.let_go("outage")
    assert (training.end(), deferring.end()) == ("success", "success")
    require_once(deferring, "outage")
    assert count_versions(installation) == versions + 1
    assert {task["try_number"] for task in training.tasks.values()} == {1}


def test_a_stage_whose_schedulers_machine_dies_runs_again_beside_the_other_scheduler(
    installation: Installation,
) -> None:
    versions, before = count_versions(installation), len(installation.read("training.begun"))
    training, name = start_training(installation)
    installation.parts[name].die()
    try:
        again = wait_for_training(installation, before + 1)
        assert again in {"scheduler-1", "scheduler-2"} - {name}
        installation.let_go("training")
        assert training.end() == "success"
    finally:
        installation.parts[name].start()
    assert count_versions(installation) == versions + 1
    installation.wait(lambda: name in installation.living(), "the scheduler is back")
