"""CeleryExecutor on Redis and Postgres: two workers, schedulers and triggerers, every part on a disk of its own.

Objects lie in a shared folder, tasks' logs in a bucket alone.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.executors.faults import count_versions, require_once, start_training, wait_for_training
from tests.executors.flights import live_through
from tests.executors.installation import Installation, run_installation
from tests.executors.shared import run_shared
from tests.s3_server import S3Server

pytestmark = pytest.mark.timeout(300, func_only=True)  # the first test waits for the servers and all parts
_TRIGGERERS = {"triggerer-1", "triggerer-2"}
_WORKERS = {"worker-1", "worker-2"}
_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "scheduler-2", *sorted(_TRIGGERERS), *sorted(_WORKERS))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, disk: Path) -> Iterator[Installation]:
    with (
        run_shared(tmp_path_factory.mktemp("shared"), s3_server, "folder", broker=True) as shared,
        run_installation(Installation(tmp_path_factory.mktemp("airflow"), shared, disk, _PARTS)) as made,
    ):
        yield made


def test_the_flight_pipeline_becomes_a_served_champion(installation: Installation) -> None:
    parts = live_through(installation)
    assert set(parts.values()) <= _WORKERS, parts


def test_a_stage_whose_worker_is_killed_runs_again_on_the_other(installation: Installation) -> None:
    versions, before = count_versions(installation), len(installation.read("training.begun"))
    training, name = start_training(installation)
    installation.parts[name].die()
    try:
        again = wait_for_training(installation, before + 1)
        assert again in _WORKERS - {name}
        installation.let_go("training")
        assert training.end() == "success"
    finally:
        installation.parts[name].start()
    assert training.tasks["train"]["try_number"] == 2
    assert count_versions(installation) == versions + 1


def test_a_stage_whose_scheduler_dies_is_adopted_by_the_other(installation: Installation) -> None:
    versions, before = count_versions(installation), len(installation.read("training.begun"))
    training, _ = start_training(installation)
    queued_by = "SELECT job.hostname FROM job JOIN task_instance ON job.id = queued_by_job_id"
    name = installation.shared.postgres.ask(f"{queued_by} WHERE run_id = '{training.run_id}' AND task_id = 'train'")
    assert name in {"scheduler-1", "scheduler-2"}
    installation.parts[name].die()
    try:
        installation.wait(lambda: name not in installation.living(), "the scheduler counts as dead")
        installation.let_go("training")
        assert training.end() == "success"
    finally:
        installation.parts[name].start()
    assert len(installation.read("training.begun")) == before + 1
    assert count_versions(installation) == versions + 1


def test_a_broker_that_restarts_under_running_and_queued_tasks_loses_none(installation: Installation) -> None:
    redis = installation.shared.redis
    assert redis
    running = installation.trigger("held", name="broker")
    installation.wait(lambda: len(installation.read("broker.*.begun")) == 2, "tasks run")
    with redis.away(signal.SIGTERM):
        queued = installation.trigger("deferring", name="queued")
        installation.wait(
            lambda: {task["state"] for task in queued.tasks.values()} <= {"queued", "scheduled"}, "tasks wait"
        )
        installation.let_go("broker")
        assert running.end() == "success"
    installation.let_go("queued")
    assert queued.end() == "success"
    require_once(running, "broker")
    require_once(queued, "queued")


def test_a_log_is_whole_and_in_order_across_deferral_workers_and_another_triggerer(installation: Installation) -> None:
    run = installation.trigger("deferring", name="logged", lines=6000)
    run.wait_for("deferred")
    first = run.wait_for_watchers(_TRIGGERERS)
    installation.wait(lambda: len(installation.read("logged.watched")) == len(first), "all are watched")
    gone = max(_TRIGGERERS, key=[*first.values()].count)
    [other] = _TRIGGERERS - {gone}
    installation.parts[gone].stop()
    try:
        run.wait_for_watchers({other})
        moved = [task_id for task_id, name in first.items() if name == gone]
        watched = len(first) + len(moved)
        installation.wait(lambda: len(installation.read("logged.watched")) == watched, "all are watched again")
        installation.let_go("logged")
        assert run.end() == "success"
    finally:
        installation.parts[gone].start()
    for task_id, name in first.items():
        before = [f"waiting in {gone}"] if name == gone else []
        numbers = [str(number) for number in range(6000)]
        expected = ["deferring", *before, f"waiting in {other}", *numbers, f"let go in {other}", "resumed"]
        lines = run.wait_for_lines(task_id, "resumed", f"let go in {other}")
        told = [line for line in installation.parts[gone].log.read_text().splitlines() if "unfinished trigger" in line]
        assert lines == expected, (lines[:5], lines[-5:], len(lines), run.read_log_on_disks(task_id)[:2000], told)


def test_a_bucket_of_logs_that_is_away_costs_nothing_but_logs_which_stay_on_their_disks(
    installation: Installation,
) -> None:
    versions = count_versions(installation)
    with installation.shared.s3.away():
        training, _ = start_training(installation)
        deferring = installation.trigger("deferring", name="away")
        deferring.wait_for("deferred")
        installation.let_go("training")
        installation.let_go("away")
        assert (training.end(), deferring.end()) == ("success", "success")
    require_once(deferring, "away")
    assert count_versions(installation) == versions + 1
    for run, task_ids in ((training, ["train"]), (deferring, deferring.tasks)):
        assert {task["try_number"] for task in run.tasks.values()} == {1}
        for task_id in task_ids:
            assert "Could not read served logs" in "\n".join(run.log(task_id)), "Airflow says that it has none"
    assert "LINE let go" in training.read_log_on_disks("train")
    for task_id in deferring.tasks:
        on_disks = deferring.read_log_on_disks(task_id)
        assert all(f"LINE {line}" in on_disks for line in ("deferring", "waiting", "let go", "resumed")), on_disks
    later = installation.trigger("deferring", name="later")
    later.wait_for("deferred")
    installation.let_go("later")
    assert later.end() == "success"
    for task_id in later.tasks:
        assert later.wait_for_lines(task_id, "resumed")[0] == "deferring"
