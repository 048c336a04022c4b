"""A task that defers for an instant comes back, however quickly: Airflow 3.3's own LocalExecutor would fail it."""

from __future__ import annotations

from tests.e2e.conftest import Installation


def test_tasks_that_defer_for_an_instant_again_and_again_succeed(installation: Installation) -> None:
    installation.api.wait_for_dag("deferring", 60)
    run_id = installation.api.trigger("deferring", {})
    run = installation.api.wait_for_run("deferring", run_id, 180)
    tasks = installation.api.task_instances("deferring", run_id)
    assert (run["state"], {task["state"] for task in tasks}) == ("success", {"success"})
