"""Airflow's REST API, as the demo, the bench and the tests use it: trigger a DAG, wait for runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from airloom.errors import ConfigError, PermanentError, UnavailableError

_POLL_SECONDS = 0.1
_ENDED = ("success", "failed")
_T = TypeVar("_T")


class AirflowApi:
    """One Airflow.

    Args:
        base_url: such as `http://127.0.0.1:8080`.
        username, password: of a user who may trigger DAGs.

    Errors of every method: UnavailableError where Airflow does not answer; PermanentError where it refuses, or where
    what is waited for does not come in time (the message says what was seen last).
    """

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        self._user = {"username": username, "password": password}

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run; gives its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run, as Airflow tells it."""
        return self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The newest runs of a DAG, newest first."""
        answer = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 100})
        found = answer["dag_runs"]
        assert isinstance(found, list)
        return found

    def wait_for_run(self, dag_id: str, run_id: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait until a run has ended, well or not."""
        seen = ""

        def ended() -> dict[str, Any] | None:
            nonlocal seen
            run = self.run(dag_id, run_id)
            seen = str(run["state"])
            return run if seen in _ENDED else None

        return _wait(ended, timeout_seconds, lambda: f"run {run_id} of {dag_id} is still {seen}")

    def wait_for_new_run(self, dag_id: str, seen: set[str], timeout_seconds: float) -> dict[str, Any]:
        """Wait until there is a run whose id is not in `seen`; the oldest of them."""

        def fresh() -> dict[str, Any] | None:
            return next((run for run in reversed(self.runs(dag_id)) if run["dag_run_id"] not in seen), None)

        return _wait(fresh, timeout_seconds, lambda: f"{dag_id} was not started by anything")

    def wait_for_dag(self, dag_id: str, timeout_seconds: float) -> None:
        """Wait until Airflow has taken in a DAG."""

        def known() -> bool:
            response = self._send("GET", f"/api/v2/dags/{dag_id}")
            return response.status_code == httpx.codes.OK

        def describe() -> str:
            errors = "; ".join(f"{error['filename']}: {error['stack_trace']}" for error in self.import_errors())
            return f"Airflow has not taken in {dag_id}. Import errors: {errors or 'none'}"

        _wait(known, timeout_seconds, describe)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's tasks, with state and times."""
        found = self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        assert isinstance(found, list)
        return found

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Have a task of a run done again, and what comes after it."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True,
                "only_failed": False, "reset_dag_runs": True}  # fmt: skip
        self._ask("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Say how a task ended: `success` or `failed`."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._ask("PATCH", path, json={"new_state": state})

    def task_log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """One try's log, as text; of an error what was raised, without its traceback."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self._ask("GET", path, params={"full_content": True})["content"]
        return "\n".join(line for entry in content for line in _read_entry(entry))

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """The task's extra links: title → address."""
        return self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"]  # type: ignore[no-any-return]

    def import_errors(self) -> list[dict[str, Any]]:
        """DAG files that Airflow could not load."""
        found = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        assert isinstance(found, list)
        return found

    def token(self) -> str:
        """The bearer token of this user; the web UI's `_token` cookie holds the same."""
        if "Authorization" not in self._client.headers:
            self._log_in()
        return self._client.headers["Authorization"].removeprefix("Bearer ")

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._send(method, path, **options)
        if response.is_error:
            raise PermanentError(f"Airflow refused {method} {path}: {response.status_code} {response.text[:500]}")
        answer = response.json()
        assert isinstance(answer, dict)
        return answer

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            if "Authorization" not in self._client.headers:
                self._log_in()
            response = self._client.request(method, path, **options)
            if response.status_code == httpx.codes.UNAUTHORIZED:
                self._log_in()
                response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise UnavailableError(f"Airflow at {self._client.base_url} does not answer: {error}") from error
        return response

    def _log_in(self) -> None:
        response = self._client.post("/auth/token", json=self._user)
        if response.is_error:
            raise ConfigError(f"Airflow does not let {self._user['username']!r} in: {response.text[:200]}")
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _read_entry(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [str(entry)]
    raised = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return [str(entry.get("event", entry)), *raised]


def _wait(condition: Callable[[], _T | None], timeout_seconds: float, describe: Callable[[], str]) -> _T:
    deadline = time.monotonic() + timeout_seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise PermanentError(f"after {timeout_seconds:.0f} s, {describe()}")
        time.sleep(_POLL_SECONDS)
