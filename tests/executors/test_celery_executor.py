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
        run_installation(tmp_path_factory.mktemp("airflow"), shared, disk, _PARTS) as made,
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
