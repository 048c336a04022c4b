"""A cancelled trigger's pod goes only where Airflow says that nobody waits for it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.kubernetes_api import KubernetesApi
from tests.unit.airloom_airflow.triggers.pods import Plugin, ended, find_place, put_pod, running, section

from airloom_airflow.speedups.task_states import RuntimeTaskInstance
from airloom_airflow.triggers import pod_kill
from airloom_airflow.triggers.cluster_client import ClusterClient
from airloom_airflow.triggers.pod_kill import WaitingTask, end_pod, is_abandoned

TASK = WaitingTask("ops__whole__train", "run", "train", -1)


class Airflow:
    """The states of a run's tasks, as the execution API gives them to a triggerer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: dict[str, str | None] | None = {}
        self.asked: list[dict[str, Any]] = []
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(self._get_task_states))

    def _get_task_states(self, **query: Any) -> dict[str, Any]:
        self.asked.append(query)
        if self.states is None:
            raise ConnectionError("the execution API does not answer")
        return {"run": self.states} if self.states else {}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    return Airflow(monkeypatch)


def end(api: KubernetesApi, pod: dict[str, Any], kubeconfig: Path, shared: bool = False) -> bool:
    return asyncio.run(end_pod(find_place(api, pod, kubeconfig), TASK, "train", shared=shared))


def test_a_pod_whose_task_is_still_deferred_stays(api: KubernetesApi, kubeconfig: Path, airflow: Airflow) -> None:
    """Another triggerer has taken its trigger over."""
    airflow.states = {"train": "deferred"}
    assert not end(api, put_pod(api, status=running()), kubeconfig)
    assert api.names == ["train-1"]
    assert airflow.asked == [{"dag_id": TASK.dag_id, "run_ids": ["run"], "task_ids": ["train"], "map_index": None}]


def test_a_pod_stays_where_airflow_cannot_be_asked(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, caplog: pytest.LogCaptureFixture
) -> None:
    airflow.states = None
    assert not end(api, put_pod(api, status=running()), kubeconfig)
    assert api.names == ["train-1"]
    assert "Airflow cannot be asked" in caplog.text


@pytest.mark.parametrize(
    "states",
    [{"train": "failed"}, {"train": "success"}, {"train": None}, {"train": "queued"}, {"train": "running"}, {}],
    ids=["marked failed", "marked success", "cleared", "cleared and queued", "cleared and started", "run deleted"],
)
def test_a_pod_of_a_task_that_a_person_ended_or_cleared_goes(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, states: dict[str, str | None]
) -> None:
    airflow.states = states
    pod = put_pod(api, status=running())
    api.write_log("train-1", section(pod, "train", "at work", end=False))
    assert end(api, pod, kubeconfig)
    assert api.names == []


def test_a_pod_whose_answer_is_about_to_be_read_stays(api: KubernetesApi, kubeconfig: Path, airflow: Airflow) -> None:
    """Another triggerer has fired: the stage wrote its end, and its container is about to go."""
    airflow.states = {"train": "queued"}
    pod = put_pod(api, status=running())
    api.write_log("train-1", section(pod, "train", "done"))
    assert not end(api, pod, kubeconfig)
    assert api.names == ["train-1"]


@pytest.mark.parametrize(
    "more",
    [
        {"status": ended()},
        {"status": running(), "labels": {"airloom.io/kept": "true"}},
        {"status": running(), "metadata": {"deletionTimestamp": "2099-01-01T00:00:00Z"}},
    ],
    ids=["ended", "kept for a look", "being deleted"],
)
def test_a_pod_that_has_ended_is_left_to_who_reads_it(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, more: dict[str, Any]
) -> None:
    airflow.states = {"train": "failed"}
    assert not end(api, put_pod(api, **more), kubeconfig)
    assert api.names == ["train-1"]


def test_another_pod_of_the_same_name_stays(api: KubernetesApi, kubeconfig: Path, airflow: Airflow) -> None:
    airflow.states = {"train": "failed"}
    pod = put_pod(api, status=running())
    api.remove("train-1")
    put_pod(api, status=running())
    assert not end(api, pod, kubeconfig)
    assert api.names == ["train-1"]


@pytest.mark.parametrize(
    ("states", "goes"),
    [
        ({"train": "success", "evaluate": "deferred"}, False),
        ({"train": "success", "evaluate": None}, False),
        ({"train": "success", "evaluate": "upstream_failed"}, True),
        ({"train": "failed", "evaluate": None}, True),
    ],
)
def test_a_shared_pod_stays_while_others_go_on_in_it(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, states: dict[str, str | None], goes: bool
) -> None:
    airflow.states = states
    pod = put_pod(api, stages="train evaluate", status=running())
    assert end(api, pod, kubeconfig, shared=True) is goes
    assert api.names == ([] if goes else ["train-1"])


def test_a_mapped_task_is_asked_for_by_its_own_name() -> None:
    assert WaitingTask("dag", "run", "train", 3).key == "train_3"
    assert is_abandoned("removed", [])


def test_a_hundred_triggers_cancelled_at_once_lose_their_pods_by_one_connection_and_in_turns(
    api: KubernetesApi, tmp_path: Path, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin(tmp_path, "first", seconds=3600)
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)
    airflow.states = {"train": "failed"}
    places = [find_place(api, put_pod(api, f"train-{number}", status=running()), kubeconfig) for number in range(100)]
    at_once: list[int] = []
    delete = ClusterClient.delete_pod

    async def count(client: ClusterClient, *given: Any) -> None:
        at_once.append(at_once[-1] + 1 if at_once else 1)
        await delete(client, *given)
        at_once.append(at_once[-1] - 1)

    monkeypatch.setattr(ClusterClient, "delete_pod", count)

    async def end_all() -> list[bool]:
        return await asyncio.gather(*(end_pod(place, TASK, "train", shared=False) for place in places))

    assert all(asyncio.run(end_all()))
    assert api.names == []
    assert plugin.asked == 1
    assert max(at_once) <= 10


def test_those_that_wait_for_their_turn_keep_the_connection(
    api: KubernetesApi, tmp_path: Path, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_kill, "_AT_ONCE", 1)
    plugin = Plugin(tmp_path, "first", seconds=3600)
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)
    airflow.states = {"train": "failed"}
    places = [find_place(api, put_pod(api, f"train-{number}", status=running()), kubeconfig) for number in range(3)]

    async def end_all() -> list[bool]:
        return await asyncio.gather(*(end_pod(place, TASK, "train", shared=False) for place in places))

    assert all(asyncio.run(end_all()))
    assert plugin.asked == 1


def test_a_pods_time_counts_from_when_it_has_its_turn(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_kill, "_AT_ONCE", 1)
    monkeypatch.setattr(pod_kill, "_KILL_SECONDS", 2.0)
    airflow.states = {"train": "failed"}
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and says nothing
    with silent, KubernetesApi() as mute:
        mute.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        other = mute.write_kubeconfig(kubeconfig.with_name("mute"))
        first = [find_place(mute, put_pod(mute, f"train-{number}"), other) for number in range(2)]
        last = find_place(api, put_pod(api, status=running()), kubeconfig)

        async def end_all() -> list[Any]:
            places = (*first, last)
            ends = (end_pod(place, TASK, "train", shared=False) for place in places)
            return await asyncio.gather(*ends, return_exceptions=True)

        *given_up, ended_well = asyncio.run(end_all())
    assert [type(error) for error in given_up] == [TimeoutError, TimeoutError]
    assert ended_well is True
    assert api.names == []


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_pod_whose_log_cannot_be_read_stays(
    api: KubernetesApi, kubeconfig: Path, airflow: Airflow, status: int
) -> None:
    """Its stage may have answered: another triggerer's event has made its task go on."""
    airflow.states = {"train": "queued"}
    pod = put_pod(api, status=running())
    api.fail(status, 10, lambda request: request.path.endswith("/log"))
    with pytest.raises(ConnectionError, match=f"status {status}"):
        end(api, pod, kubeconfig)
    assert api.names == ["train-1"]
