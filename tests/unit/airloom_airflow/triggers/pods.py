"""Pods and their followers for the tests of triggers, on the API server of tests/fakes."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fakes.kubernetes_api import KubernetesApi, stamp
from tests.waiting import wait_until

from airloom.protocol.section import begin_line, end_line
from airloom.spec.cluster import Connection, Limits
from airloom_airflow.pods.state import PodState
from airloom_airflow.triggers.pod_watch import PodPlace, follow_pod

PLUGIN = """
import datetime, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "asked").open("a") as asked:
    asked.write("x")
status = {"token": (folder / "token").read_text()}
if seconds := (folder / "seconds").read_text():
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=float(seconds))
    status["expirationTimestamp"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""

_CONTAINER = {"name": "stage", "image": "stage:1", "imageID": "stage:1", "ready": True, "restartCount": 0}


class Plugin:
    """An exec plugin of a kubeconfig, as EKS has one: gives a token, and perhaps says when it ends."""

    def __init__(self, folder: Path, token: str, seconds: float | None) -> None:
        self.folder = folder
        (folder / "plugin.py").write_text(PLUGIN)
        self.give(token, seconds)

    def give(self, token: str, seconds: float | None) -> None:
        (self.folder / "token").write_text(token)
        (self.folder / "seconds").write_text("" if seconds is None else str(seconds))

    def hang(self) -> None:
        """From now on: it tells its process id in the file `hangs`, and answers nothing."""
        code = "import os, pathlib, time\npathlib.Path(__file__).with_name('hangs').write_text(str(os.getpid()))\n"
        (self.folder / "plugin.py").write_text(f"{code}time.sleep(3600)")

    @property
    def hangs(self) -> bool:
        """A plugin that answers nothing is there."""
        file = self.folder / "hangs"
        return file.exists() and Path("/proc", file.read_text()).exists()

    @property
    def asked(self) -> int:
        """How often."""
        return len((self.folder / "asked").read_text())

    @property
    def user(self) -> dict[str, Any]:
        """For a kubeconfig."""
        command = {"command": sys.executable, "args": [str(self.folder / "plugin.py"), str(self.folder)]}
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", **command}}


def put_pod(api: KubernetesApi, name: str = "train-1", stages: str = "train", **more: Any) -> dict[str, Any]:
    """A pod of ours, not scheduled yet unless `more` says so."""
    metadata = {
        "name": name,
        "labels": {"app.kubernetes.io/managed-by": "airloom", **more.pop("labels", {})},
        "annotations": {"airloom.io/stages": stages},
        **more.pop("metadata", {}),
    }
    return api.put({"metadata": metadata, "spec": {"containers": [{"name": "stage"}], **more.pop("spec", {})}, **more})


def running(seconds_ago: float = 1) -> dict[str, Any]:
    """The status of a pod whose container runs."""
    state = {"running": {"startedAt": _iso(seconds_ago)}}
    return {"phase": "Running", "conditions": [_scheduled()], "containerStatuses": [{**_CONTAINER, "state": state}]}


def ended(code: int = 0, message: str = "", seconds_ago: float = 0) -> dict[str, Any]:
    """The status of a pod whose container has ended."""
    times = {"startedAt": _iso(seconds_ago + 1), "finishedAt": _iso(seconds_ago)}
    end = {"exitCode": code, "reason": "Completed", "message": message, **times}
    statuses = [{**_CONTAINER, "state": {"terminated": end}}]
    return {"phase": "Failed" if code else "Succeeded", "conditions": [_scheduled()], "containerStatuses": statuses}


def section(pod: dict[str, Any], stage: str, *lines: str, end: bool = True) -> list[str]:
    """What the pod's first process writes of a stage."""
    uid = pod["metadata"]["uid"]
    marked = [begin_line(uid, stage), *lines, *([end_line(uid, stage, 0, json.dumps({"of": stage}))] if end else [])]
    return [stamp(line) for line in marked]


def find_place(api: KubernetesApi, pod: dict[str, Any], kubeconfig: Path) -> PodPlace:
    """Of the pod, by a kubeconfig."""
    metadata = pod["metadata"]
    return PodPlace(Connection(kubeconfig=str(kubeconfig)), metadata["namespace"], metadata["name"], metadata["uid"])


@dataclass
class Follower:
    """Follows pods in an event loop of its own, as a triggerer does."""

    lines: list[str] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    ends: dict[str, PodState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self.loop).result(timeout=30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def follow(self, place: PodPlace, limits: Limits | None = None, stage: str = "train", shared: bool = False) -> None:
        """Begin to follow; the end will be in `ends`, by the stage's name."""

        def write(line: str, when: datetime) -> None:
            self.lines.append(line)
            self.times.append(when)

        async def follow() -> None:
            self.ends[stage] = await follow_pod(place, limits or Limits(), write, stage, shared=shared)

        asyncio.run_coroutine_threadsafe(follow(), self.loop)

    def wait_for_end(self, stage: str = "train", seconds: float = 60) -> PodState:
        wait_until(lambda: stage in self.ends, f"the end of {stage}", seconds)
        return self.ends[stage]

    async def _cancel(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def turned_out(seconds_ago: float) -> dict[str, Any]:
    """The condition of a pod that its node turned out."""
    return {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": _iso(seconds_ago)}


def _scheduled() -> dict[str, Any]:
    return {"type": "PodScheduled", "status": "True", "lastTransitionTime": _iso(2)}


def _iso(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
