"""The trigger in Airflow's own runner: two of them, one of which was away for a while."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.sdk.log import redact
from airflow.triggers.base import BaseTrigger
from tests.fakes.kubernetes_api import KubernetesApi, stamp
from tests.unit.airloom_airflow.triggers.pods import ended, find_place, put_pod, running
from tests.waiting import wait_until

from airloom.spec.cluster import Limits
from airloom_airflow.speedups.task_states import RuntimeTaskInstance
from airloom_airflow.triggers import stage_pod
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place


class Task:
    """What a triggerer knows of the task."""

    id = "018f0000-0000-7000-8000-000000000000"
    dag_id, run_id, task_id, map_index, try_number = "ops__whole__train", "run", "train", -1, 1
    context_carrier: dict[str, str] | None = None


class Triggerer:
    """Airflow's runner of triggers, in a thread of its own, without its supervisor."""

    def __init__(self) -> None:
        self.runner = TriggerRunner()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def start(self, trigger: StagePodTrigger) -> None:
        trigger.task_instance = Task()  # type: ignore[assignment]

        async def start() -> None:
            task = asyncio.create_task(self.runner.run_trigger(1, trigger))
            self.runner.triggers[1] = {"task": task, "is_watcher": False, "name": "train", "events": 0}

        asyncio.run_coroutine_threadsafe(start(), self.loop).result(30)

    def cancel(self) -> None:
        """As the runner does with triggers that are not its own any more."""
        self.runner.to_cancel.append(1)
        asyncio.run_coroutine_threadsafe(self.runner.cancel_triggers(), self.loop).result(30)
        wait_until(self.task.done, "the end of the cancelled trigger")

    @property
    def task(self) -> asyncio.Task[None]:
        return self.runner.triggers[1]["task"]

    @property
    def payloads(self) -> list[Any]:
        return [entry[1].payload for entry in self.runner.events]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _cancel(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def triggerer() -> Iterator[Triggerer]:
    made = Triggerer()
    try:
        yield made
    finally:
        made.stop()


def build_trigger(api: KubernetesApi, pod: dict[str, Any], kubeconfig: Path) -> StagePodTrigger:
    return StagePodTrigger(
        place=dump_place(find_place(api, pod, kubeconfig)),
        limits=Limits().model_dump(mode="json"),
        launch={"number": 2},
        stage="train",
        shared=False,
    )


def set_state(monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    answer = {"run": {"train": state}}
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **query: answer))


def test_a_triggerer_that_comes_back_leaves_the_pod_to_the_one_that_took_it_over(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_state(monkeypatch, "deferred")
    pod = put_pod(api, status=running())
    with triggerer() as stalled, triggerer() as other:
        stalled.start(build_trigger(api, pod, kubeconfig))
        other.start(build_trigger(api, pod, kubeconfig))
        wait_until(lambda: api.count(lambda request: "watch" in request.query) == 2, "both watches")
        stalled.cancel()
        assert api.names == ["train-1"]
        api.change("train-1", status=ended(0, "{}"))
        wait_until(lambda: bool(other.payloads), "the event of the other")
        assert other.payloads[0]["state"]["ending"] == "exited"
        assert stalled.payloads == []


def test_a_triggerer_masks_what_airflow_has_before_it_writes_a_line(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_TRIGGERS_TOKEN", "the-triggers-token")
    masked: list[str] = []
    monkeypatch.setattr(stage_pod, "write_log", lambda line, when: masked.append(str(redact(line))))
    pod = put_pod(api, status=running())
    trigger = build_trigger(api, pod, kubeconfig)
    trigger.secrets = [{"name": "TOKEN", "variable": "triggers_token"}]
    with triggerer() as own:
        own.start(trigger)
        api.write_log("train-1", [stamp("native code wrote the-triggers-token")], end=True)
        api.change("train-1", status=ended(0, "{}"))
        wait_until(lambda: bool(own.payloads), "the event")
    assert masked == ["native code wrote ***"]


def test_a_trigger_that_a_person_ended_deletes_its_pod(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_state(monkeypatch, "failed")
    pod = put_pod(api, status=running())
    with triggerer() as own:
        own.start(build_trigger(api, pod, kubeconfig))
        wait_until(lambda: api.count(lambda request: "watch" in request.query) == 1, "the watch")
        own.cancel()
        assert api.names == []


def test_a_pod_goes_though_airflow_cancels_its_trigger_again_while_it_is_killed(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, told = threading.Event(), threading.Event()

    def answer(**query: Any) -> dict[str, dict[str, str]]:
        asked.set()
        told.wait(10)
        return {"run": {"train": "failed"}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(answer))
    trigger = build_trigger(api, put_pod(api, status=running()), kubeconfig)
    trigger.task_instance = Task()  # type: ignore[assignment]

    async def kill() -> None:
        killing = asyncio.ensure_future(trigger.on_kill())
        await asyncio.to_thread(asked.wait, 10)
        killing.cancel("user-action")
        await asyncio.gather(killing, return_exceptions=True)
        assert api.names == ["train-1"]
        told.set()
        await asyncio.to_thread(wait_until, lambda: api.names == [], "the pod is deleted")

    asyncio.run(kill())


@pytest.mark.parametrize(("state", "names"), [("deferred", ["train-1"]), ("failed", [])])
def test_before_airflow_3_3_a_cancelled_trigger_asks_when_it_cleans_up(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, state: str, names: list[str]
) -> None:
    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    set_state(monkeypatch, state)
    trigger = build_trigger(api, put_pod(api, status=running()), kubeconfig)
    trigger.task_instance = Task()  # type: ignore[assignment]

    async def cancel() -> None:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        while not api.count(lambda request: "watch" in request.query):
            await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(cancel())
    assert api.names == names


def test_a_pod_stays_where_the_api_server_is_away_and_the_trigger_says_so(
    api: KubernetesApi, kubeconfig: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pod = put_pod(api, status=running())
    trigger = build_trigger(api, pod, kubeconfig)
    trigger.task_instance = Task()  # type: ignore[assignment]
    api.away = True
    asyncio.run(trigger.on_kill())
    assert api.names == ["train-1"]
    assert "pod train-1 stays, the janitor takes it away" in caplog.text


def test_a_trigger_that_fails_gives_its_pod_up_and_says_why(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any, **more: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(stage_pod, "follow_pod", fail)

    async def first() -> Any:
        return await anext(build_trigger(api, put_pod(api), kubeconfig).run())

    payload = asyncio.run(first()).payload
    assert payload["state"]["ending"] == "overdue"
    assert payload["state"]["message"] == "its trigger failed: RuntimeError: no such thing"
    assert payload["launch"] == {"number": 2}


def test_it_is_made_anew_in_the_triggerer(api: KubernetesApi, kubeconfig: Path) -> None:
    path, kwargs = build_trigger(api, put_pod(api), kubeconfig).serialize()
    assert path == "airloom_airflow.triggers.stage_pod.StagePodTrigger"
    assert StagePodTrigger(**kwargs).serialize() == (path, kwargs)
