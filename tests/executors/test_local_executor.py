"""LocalExecutor on Postgres: two schedulers and triggerers, every part on a disk of its own, objects in a bucket."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.executors.conftest import HELD
from tests.executors.faults import count_versions, has_database, require_once, start_training, wait_for_training
from tests.executors.flights import live_through
from tests.executors.installation import Installation, Run, run_installation
from tests.executors.shared import run_shared
from tests.s3_server import S3Server
from tests.unit.airloom_airflow.git_remote import GitRemote

pytestmark = pytest.mark.timeout(300, func_only=True)  # the first test waits for the servers and all parts
_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "scheduler-2", "triggerer-1", "triggerer-2")
_TRIGGERERS = {"triggerer-1", "triggerer-2"}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> GitRemote:
    remote = GitRemote(tmp_path_factory.mktemp("git") / "remote")
    remote.commit({"README": "pipelines come later"})
    return remote


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, disk: Path, remote: GitRemote
) -> Iterator[Installation]:
    connection = {"AIRFLOW_CONN_REMOTE": json.dumps({"conn_type": "git", "host": remote.url})}
    given = {"tracking_ref": "main", "subdir": "pipelines", "git_conn_id": "remote", "refresh_interval": 1}
    git = {"name": "git", "classpath": "airloom_airflow.bundles.git.GitPipelineDagBundle", "kwargs": given}
    with run_shared(tmp_path_factory.mktemp("shared"), s3_server, "bucket", broker=False) as shared:
        made = Installation(tmp_path_factory.mktemp("airflow"), shared, disk, _PARTS, connection, (git,))
        with run_installation(made):
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


def test_runs_keep_their_commit_while_the_git_branch_breaks_is_forced_back_and_is_away(
    installation: Installation, remote: GitRemote
) -> None:
    text = HELD.replace("name: held", "name: versioned").replace("retry_delay", "retries: 60\n  retry_delay")
    base = remote.run("rev-parse", "HEAD")

    def start(commit: str) -> Run:
        path = "/api/v2/dags/ops__versioned__train/details"
        installation.wait(lambda: installation.get(path)["bundle_version"] == commit, "the commit is the DAG's")
        run, _ = start_training(installation, "ops__versioned__train")
        return run

    first = remote.commit({"ops/versioned.yaml": text})
    running = start(first)
    remote.commit({"ops/versioned.yaml": text.replace("train:", "trian:")})
    installation.wait(
        lambda: "trian" in str([error["stack_trace"] for error in installation.api.import_errors()]),
        "the broken pipeline is an import error",
    )
    remote.force_back(base)
    second = remote.commit({"ops/versioned.yaml": text.replace("retries: 60", "retries: 61")})
    installation.wait(lambda: not installation.api.import_errors(), "the branch that was forced is followed")
    installation.let_go("training")
    assert running.end() == "success"
    later = start(second)
    with remote.away():
        installation.wait(
            lambda: "does not answer or refuses" in installation.parts["dag-processor-1"].log.read_text(),
            "the DAG processor misses the remote",
        )
        installation.let_go("training")
        installation.wait(lambda: later.tasks["train"]["state"] == "success", "the stage ends")
    assert later.end() == "success"  # its last task may have been tried on a disk that lacked the commit
    for run, commit in ((running, first), (later, second)):
        assert {task["dag_version"]["bundle_version"] for task in run.tasks.values()} == {commit}
