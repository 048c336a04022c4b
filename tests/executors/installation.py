"""An Airflow of parts on disks of their own, with its database, broker, object store and bucket of logs; the pipelines
and data that lie on every part's disk; and what a test asks of it.

What a part's machine would do by itself (systemd, a Deployment) is done here whenever a test waits: a part that has
ended is started again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.executors.airflow_parts import Part
from tests.executors.servers import Redis
from tests.executors.shared import AIRFLOW, Shared
from tests.waiting import wait_until

from airloom.embedded.addresses import host_of, port_of
from airloom.embedded.airflow_api import AirflowApi
from airloom.embedded.airflow_environment import USER, build_airflow_environ, load_secrets, prepare_airflow
from airloom.errors import UnavailableError
from airloom.telemetry import SWITCHES

_OWN = Path(__file__).parent
_BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
_SECONDS = {
    "SCHEDULER__JOB_HEARTBEAT_SEC": 1,
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 12,
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 3,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": 2,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 15,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 2,
    "SCHEDULER__TASK_QUEUED_TIMEOUT": 60,
    "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 8,
    "CELERY__SYNC_PARALLELISM": 1,
}
"""How long Airflow waits for a part before it takes it for lost: minutes where people run it, seconds here."""


@dataclass
class Installation:
    """A running Airflow of parts.

    Args:
        folder: the parts' disks lie below it.
        disk: what lies on every part's disk from the start: pipeline files, data, DAG files, own code.
        names: of the parts.
        variables: of every part's environment, beside those that any executor needs.
        bundles: DAG bundles beside those of every part's own disk, as Airflow's configuration has them.
    """

    folder: Path
    shared: Shared
    disk: Path
    names: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    bundles: tuple[Mapping[str, object], ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)

    def start(self) -> None:
        """Make the disks and the database, start all parts; returns when each does its work."""
        prepare_airflow(self.folder / "secrets")
        for name in self.names:
            self.parts[name] = self._build(name)
        first = self.parts["api-server-1"]
        done = subprocess.run(
            [str(AIRFLOW), "db", "migrate"], env=dict(first.environ), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        self.shared.s3.client.create_bucket(Bucket=_bucket(self.folder))
        for part in self.parts.values():
            part.start()
        self.wait(self._is_whole, "every part does its work", 180)

    def stop(self) -> None:
        """End all parts, and what descends from them."""
        for part in self.parts.values():
            part.die()

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.address, USER, load_secrets(self.folder / "secrets")["password"])

    @property
    def address(self) -> str:
        return self.shared.addresses.airflow

    def kind(self, kind: str) -> list[Part]:
        return [part for part in self.parts.values() if part.kind == kind]

    def tend(self) -> None:
        """Start again what has ended by itself."""
        for part in self.parts.values():
            if part.has_ended:
                part.start()

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
        """Return once the condition holds; parts are tended, and an API server that is away is waited for."""

        def holds() -> bool:
            self.tend()
            try:
                return condition()
            except (UnavailableError, httpx.TransportError, httpx.HTTPStatusError):
                return False

        try:
            wait_until(holds, what, seconds)
        except AssertionError as error:
            tails = "\n".join(part.tail() for part in self.parts.values())
            raise AssertionError(f"{error}\n{tails}") from None

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        self.api.wait_for_dag(dag_id, 90)
        return Run(self, dag_id, self.api.trigger(dag_id, conf))

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """What Airflow's REST API answers."""
        headers = {"Authorization": f"Bearer {self.api.token()}"}
        answer = httpx.get(f"{self.address}{path}", params=params, headers=headers, trust_env=False, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def jobs(self, **which: Any) -> dict[int, str]:
        """Airflow's jobs by their ids: the names of their parts."""
        jobs = self.get("/api/v2/jobs", limit=100, order_by="-id", **which)["jobs"]
        return {job["id"]: job["hostname"] for job in jobs}

    def living(self) -> set[str]:
        """Parts that Airflow takes for alive."""
        return set(self.jobs(is_alive=True, job_state="running").values())

    def read(self, entry: str) -> list[str]:
        """The parts in which that was written down, in order."""
        return [path.read_text() for path in sorted(self.shared.ledger.glob(f"{entry}.*"), key=_written_at)]

    def let_go(self, name: str) -> None:
        """Whatever waits for that file need not any more."""
        (self.shared.ledger / name).touch()

    def hold(self, name: str) -> None:
        """Have the next that waits for it wait."""
        (self.shared.ledger / name).unlink(missing_ok=True)

    def _is_whole(self) -> bool:
        told = self.living()
        quiet = [
            part.name
            for part in self.parts.values()
            if (part.kind in ("scheduler", "triggerer", "dag-processor") and part.name not in told)
            or (part.kind == "worker" and " ready." not in part.log.read_text(errors="replace"))
        ]
        return not quiet and httpx.get(f"{self.address}/execution/health", timeout=30, trust_env=False).is_success

    def _build(self, name: str) -> Part:
        folder = self.folder / name
        shutil.copytree(self.disk, folder)
        home = folder / "airflow"
        home.mkdir()
        shutil.copy(self.folder / "secrets" / "secrets.json", home)
        prepare_airflow(home)
        return Part(name, folder, AIRFLOW.parent, self._environ(name, folder, home))

    def _environ(self, name: str, folder: Path, home: Path) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "AIRLOOM_", "MLFLOW_"))
        }
        shared = self.shared
        sections = {
            "DATABASE__SQL_ALCHEMY_CONN": shared.postgres.url,
            "CORE__HOSTNAME_CALLABLE": "own_name.own_name",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "API__HOST": host_of(self.address),
            "API__BASE_URL": self.address,
            "LOGGING__REMOTE_LOGGING": True,
            "LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{_bucket(self.folder)}/logs",
            "LOGGING__REMOTE_LOG_CONN_ID": "logs",
            **_SECONDS,
            **(self._celery(shared.redis) if shared.redis else {}),
        }
        airflow = build_airflow_environ(home, port_of(self.address), None, folder / "dag_files")
        airflow[_BUNDLES] = json.dumps([*json.loads(airflow[_BUNDLES]), *self.bundles])
        return {
            **kept,
            **SWITCHES,
            **shared.s3.environ(),
            **airflow,
            **{f"AIRFLOW__{key}": str(value) for key, value in sections.items()},
            "AIRFLOW_CONN_LOGS": json.dumps({"conn_type": "aws", "extra": {"endpoint_url": shared.s3.endpoint}}),
            "AIRLOOM_HOME": str(folder),
            "AIRLOOM_DATA_ROOT": str(folder),
            "AIRLOOM_PIPELINES": str(folder / "pipelines"),
            "AIRLOOM_ARTIFACTS_URI": shared.artifacts_uri,
            "AIRLOOM_TRACKING_URI": shared.addresses.mlflow,
            "AIRLOOM_GATEWAY_URL": shared.addresses.gateway,
            "AIRLOOM_LINEAGE_PATH": "",
            "AIRLOOM_STAGE_PYTHON": sys.executable,
            "AIRLOOM_STAGE_CPU_THREADS": "1",
            "PART_NAME": name,
            "LEDGER": str(shared.ledger),
            "PYTHONPATH": str(_OWN / "on_every_part"),
            "PYTHONUNBUFFERED": "1",
            "PATH": f"{AIRFLOW.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "NO_PROXY": f"127.0.0.1,localhost,{host_of(self.address)}",
            "no_proxy": f"127.0.0.1,localhost,{host_of(self.address)}",
            **self.variables,
        }

    def _celery(self, redis: Redis) -> Mapping[str, object]:
        results = (
            f"db+{self.shared.postgres.url}"  # the driver named: SQLAlchemy 2.1 takes a bare postgresql for psycopg
        )
        return {
            "CORE__EXECUTOR": "CeleryExecutor",
            "CELERY__BROKER_URL": redis.url,
            "CELERY__RESULT_BACKEND": results,
        }


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    installation: Installation
    dag_id: str
    run_id: str

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Its tasks by their ids, as Airflow tells them."""
        found = self.installation.api.task_instances(self.dag_id, self.run_id)
        return {task["task_id"]: task for task in found}

    def wait_for(self, state: str, seconds: float = 90) -> None:
        """Wait until all tasks are in a state."""
        condition: Callable[[], bool] = lambda: {task["state"] for task in self.tasks.values()} == {state}  # noqa: E731
        self.installation.wait(condition, f"all tasks of {self.dag_id} are {state}", seconds)

    def watchers(self) -> dict[str, str]:
        """Deferred tasks by their ids: the triggerers that wait for them; only those that one has taken up."""
        jobs = self.installation.jobs()
        triggers = {task_id: task["trigger"] for task_id, task in self.tasks.items() if task["trigger"]}
        return {
            task_id: jobs[trigger["triggerer_id"]] for task_id, trigger in triggers.items() if trigger["triggerer_id"]
        }

    def wait_for_watchers(self, among: set[str]) -> dict[str, str]:
        """Wait until those triggerers alone wait for all its tasks; gives which for which."""
        seen: dict[str, str] = {}

        def are_taken() -> bool:
            seen.clear()
            seen.update(self.watchers())
            return len(seen) == len(self.tasks) and set(seen.values()) <= among

        self.installation.wait(are_taken, f"the tasks of {self.dag_id} are waited for in {among}")
        return seen

    def end(self, seconds: float = 180) -> str:
        """Wait for its end; gives its state."""
        seen = ""

        def ended() -> bool:
            nonlocal seen
            seen = str(self.installation.api.run(self.dag_id, self.run_id)["state"])
            return seen in ("success", "failed")

        self.installation.wait(ended, f"{self.dag_id} ends", seconds)
        return seen

    def wait_for_lines(self, task_id: str, *last: str) -> list[str]:
        """What a task and its triggers logged after `LINE `, once those are in the log: a try of the task, and each of
        its triggers, uploads its own part when it ends, in no order."""
        lines: list[str] = []

        def are_uploaded() -> bool:
            lines[:] = [line.partition("LINE ")[2] for line in self.log(task_id) if "LINE " in line]
            return set(last) <= set(lines)

        self.installation.wait(are_uploaded, f"the log of {task_id} has {last}")
        return lines

    def read_log_on_disks(self, task_id: str) -> str:
        """What lies of a task's log on the parts' disks."""
        folder = f"dag_id={self.dag_id}/run_id={self.run_id}/task_id={task_id}"
        found = self.installation.folder.glob(f"*/airflow/logs/{folder}/*")
        return "\n".join(path.read_text() for path in found)

    def log(self, task_id: str, attempt: int = 1) -> list[str]:
        """One try's log, line by line."""
        return self.installation.api.task_log(self.dag_id, self.run_id, task_id, attempt).splitlines()


@contextmanager
def run_installation(made: Installation) -> Iterator[Installation]:
    """Start it; stop it at the end."""
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _bucket(folder: Path) -> str:
    return f"logs-{folder.name}".lower().replace("_", "-")


def _written_at(path: Path) -> int:
    return path.stat().st_mtime_ns
