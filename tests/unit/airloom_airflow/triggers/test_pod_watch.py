"""A pod is followed to its end, whatever the API server and the connections to it do meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from tests.fakes.kubernetes_api import KubernetesApi, Request, stamp
from tests.unit.airloom_airflow.triggers.pods import Follower, Plugin, ended, find_place, put_pod, running, section
from tests.waiting import wait_until

from airloom.spec.cluster import Limits
from airloom_airflow import metrics
from airloom_airflow.triggers import cluster_client, pod_log, pod_watch


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the metrics that were sent."""
    names: list[str] = []

    class Stats:
        def incr(self, name: str, **more: object) -> None:
            names.append(name)

        def timing(self, name: str, value: object, **more: object) -> None:
            names.append(name)

    monkeypatch.setattr(metrics, "load_stats", lambda: Stats())
    return names


def is_log(request: Request) -> bool:
    return request.path.endswith("/log")


def is_watch(request: Request) -> bool:
    return "watch" in request.query


def is_list(request: Request) -> bool:
    return request.path.endswith("/pods") and not is_watch(request)


def test_a_pod_is_followed_to_its_end_with_its_log_and_measured(
    api: KubernetesApi, kubeconfig: Path, sent: list[str]
) -> None:
    pod = put_pod(api)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        api.change("train-1", status=running())
        api.write_log("train-1", [stamp("one"), stamp("two")])
        wait_until(lambda: follower.lines == ["one", "two"], "its log")
        api.write_log("train-1", [stamp("three")], end=True)
        api.change("train-1", status=ended(0, '{"x": 1}'))
        state = follower.wait_for_end()
    assert (state.ending, state.exit_code, state.message) == ("exited", 0, '{"x": 1}')
    assert follower.lines == ["one", "two", "three"]
    assert {"airloom.pod.exited", "airloom.watch.lag", "airloom.pod.scheduling", "airloom.pod.running"} <= set(sent)


def test_a_pod_that_goes_is_lost(api: KubernetesApi, kubeconfig: Path, sent: list[str]) -> None:
    pod = put_pod(api)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        api.remove("train-1")
        assert follower.wait_for_end().ending == "lost"
    assert "airloom.pod.lost" in sent


def test_a_log_dropped_in_silence_is_read_to_its_last_line(
    api: KubernetesApi, kubeconfig: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_log, "_SILENCE_SECONDS", 0.5)
    pod = put_pod(api, status=running())
    api.write_log("train-1", section(pod, "train", "one", end=False))
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig), shared=True)
        wait_until(lambda: follower.lines == ["one"], "its log")
        api.silent = True
        api.write_log("train-1", section(pod, "train", "two")[1:])
        opened = api.count(is_log)
        wait_until(lambda: api.count(is_log) > opened, "the log opened anew")
        api.silent = False
        state = follower.wait_for_end()
    assert follower.lines == ["one", "two"]
    assert (state.ending, state.by_stage, state.message) == ("exited", True, '{"of": "train"}')
    assert "airloom.log.reconnects" in sent


def test_the_tail_of_a_log_that_fell_silent_before_the_pods_end_is_read(api: KubernetesApi, kubeconfig: Path) -> None:
    pod = put_pod(api, status=running())
    api.write_log("train-1", [stamp("one")])
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: follower.lines == ["one"] and api.count(is_watch) == 1, "its log")
        api.cut_logs_silently()
        api.write_log("train-1", [stamp("two"), stamp("three")], end=True)
        api.change("train-1", status=ended())
        assert follower.wait_for_end(seconds=20).ending == "exited"
    assert follower.lines == ["one", "two", "three"]


def test_an_ended_pod_whose_node_gives_no_log_is_not_waited_for_long(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pod_log, "_REFUSED_SECONDS", 1.0)
    pod = put_pod(api, status=ended(0, "{}"))
    api.fail(502, count=1000, matches=is_log)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        assert follower.wait_for_end(seconds=20).message == "{}"
    assert 2 < api.count(is_log) < 10
    assert "the log of pod train-1 may lack its last lines: status 502" in caplog.text


@pytest.mark.parametrize("status", [429, 502, 503])
def test_an_api_server_or_node_that_is_busy_when_a_pod_ends_costs_no_line_and_no_answer(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    if status != 502:  # the API server's own words: no node is given up for them
        monkeypatch.setattr(pod_log, "_REFUSED_SECONDS", 0.0)
    pod = put_pod(api, status=running(), stages="ingest train")
    lines = section(pod, "train", "one", "two")
    api.write_log("train-1", lines[:2])
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig), shared=True)
        wait_until(lambda: follower.lines == ["one"] and api.count(is_watch) == 1, "its log")
        api.fail(status, count=4, matches=is_log)
        api.cut()
        api.write_log("train-1", lines[2:], end=True)
        api.change("train-1", status=ended())
        state = follower.wait_for_end()
    assert follower.lines == ["one", "two"]
    assert (state.by_stage, state.message) == (True, '{"of": "train"}')


def test_the_tail_is_read_though_the_api_server_is_away_for_a_moment(api: KubernetesApi, kubeconfig: Path) -> None:
    pod = put_pod(api, status=ended())
    api.write_log("train-1", [stamp("one")], end=True)
    with Follower() as follower:
        api.cut_requests(5, is_log)
        follower.follow(find_place(api, pod, kubeconfig))
        assert follower.wait_for_end().ending == "exited"
    assert follower.lines == ["one"]


def test_a_log_that_ends_in_order_while_its_pod_runs_is_opened_anew(api: KubernetesApi, kubeconfig: Path) -> None:
    """A kubelet that is started anew ends its streams in order."""
    pod = put_pod(api, status=running())
    api.write_log("train-1", [stamp("one")], end=True)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: api.count(is_log) >= 2, "the log opened anew")
        api.write_log("train-1", [stamp("two")])
        wait_until(lambda: follower.lines == ["one", "two"], "the rest of the log")


def test_connections_that_are_cut_lose_nothing(api: KubernetesApi, kubeconfig: Path, sent: list[str]) -> None:
    pod = put_pod(api, status=running())
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        for number in range(5):
            api.write_log("train-1", [stamp(f"line {number}")])
            wait_until(lambda number=number: len(follower.lines) == number + 1, "its log")
            api.cut()
        api.away = True
        api.cut()
        api.change("train-1", status=ended())
        api.away = False
        assert follower.wait_for_end().ending == "exited"
    assert follower.lines == [f"line {number}" for number in range(5)]
    assert "airloom.watch.reconnects" in sent


def print_burst(kind: str, count: int) -> list[str]:
    """Lines of one second as their log has them, many of them equal."""
    microseconds = {
        "stamped to the second": lambda number: 0,
        "stamped to the microsecond": lambda number: number * 100,
        "of two streams, one ahead": lambda number: number * 100 + (300_000 if number % 2 else 0),
    }[kind]
    second = datetime.now(UTC).replace(microsecond=0)
    return [
        f"{second + timedelta(microseconds=microseconds(number)):%Y-%m-%dT%H:%M:%S.%f}000Z line {number % 7}"
        for number in range(count)
    ]


@pytest.mark.parametrize("kind", ["stamped to the second", "stamped to the microsecond", "of two streams, one ahead"])
def test_a_burst_whose_connection_is_cut_again_and_again_is_logged_as_it_was_printed(
    api: KubernetesApi, kubeconfig: Path, kind: str
) -> None:
    printed = print_burst(kind, 6_000)
    pod = put_pod(api, status=running())
    api.cut_logs_after(1, 2_500, 2_500, 2_501, 100, 4_999, 5_998)
    api.write_log("train-1", printed[:5_999])
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: len(follower.lines) >= 5_999, "all but the tail")
        api.write_log("train-1", printed[5_999:], end=True)
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
    assert follower.lines == [line.partition(" ")[2] for line in printed]
    assert all(before < after for before, after in pairwise(follower.times))
    assert api.count(is_log) > 7


def test_a_watch_that_is_too_old_lists_again(api: KubernetesApi, kubeconfig: Path) -> None:
    pod = put_pod(api)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        lists, api.silent = api.count(is_list), True
        api.change("train-1", status=ended())
        api.expire()
        api.silent = False
        api.cut()
        assert follower.wait_for_end().ending == "exited"
    assert api.count(is_list) > lists


@pytest.mark.parametrize(
    "end",
    [
        {},
        {"kind": "Status", "code": 410, "reason": "Expired"},
        {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcdserver: leader changed"},
    ],
    ids=["closed", "expired", "failed"],
)
def test_a_watch_that_ends_at_once_is_begun_anew_less_and_less_often(
    api: KubernetesApi, kubeconfig: Path, caplog: pytest.LogCaptureFixture, end: dict[str, object]
) -> None:
    api.watch_end = end
    pod = put_pod(api, status=running())
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        began = time.monotonic()
        wait_until(lambda: api.count(is_watch) >= 4, "the fourth watch")
        assert time.monotonic() - began > 0.2 + 0.4 + 0.8
        api.watch_end = None
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
    assert ("etcdserver: leader changed" in caplog.text) is ("message" in end)


def test_an_ending_token_is_asked_for_anew_before_it_ends(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_client, "_RENEW_SECONDS", 0.0)
    plugin = Plugin(tmp_path, "first", seconds=60)  # asked anew five minutes before its end
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)
    api.tokens = {"first", "second"}
    pod = put_pod(api, status=running())
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        plugin.give("second", seconds=3600)
        api.cut()
        wait_until(lambda: api.requests[-1].token == "second", "the second token")
        asked = plugin.asked
        api.cut()
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
    assert plugin.asked == asked  # its token has time


@pytest.mark.parametrize("seconds", [3600, None])
def test_a_token_that_is_refused_is_asked_for_anew(api: KubernetesApi, tmp_path: Path, seconds: float | None) -> None:
    plugin = Plugin(tmp_path, "first", seconds)
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)
    api.tokens = {"first"}
    pod = put_pod(api, status=running())
    api.write_log("train-1", [stamp("one")])
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: follower.lines == ["one"] and api.count(is_watch) == 1, "its log")
        plugin.give("second", seconds)
        api.tokens = {"second"}
        api.cut()
        api.write_log("train-1", [stamp("two")], end=True)
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
    assert follower.lines == ["one", "two"]
    assert plugin.asked == 2


def test_a_new_stage_whose_credentials_are_refused_is_given_up_by_a_limit(
    api: KubernetesApi, tmp_path: Path, sent: list[str]
) -> None:
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", Plugin(tmp_path, "first", 3600).user)
    api.tokens = set()
    pod = put_pod(api)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig), Limits(scheduling_seconds=4))
        state = follower.wait_for_end()
    assert state.ending == "overdue"
    assert "limits.scheduling_seconds" in state.message
    assert "the API server refuses our credentials (401 Unauthorized)" in state.message
    assert {"airloom.pod.overdue", "airloom.watch.reconnects"} <= set(sent)


def test_a_running_pods_limit_counts_while_our_credentials_are_refused(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_watch, "_LONGEST_WAIT_SECONDS", 0.5)
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", {"token": "first"})
    api.tokens = {"first"}
    pod = put_pod(api, status=running(0))
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig), Limits(running_seconds=3))
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        api.tokens = set()
        api.cut()
        state = follower.wait_for_end()
    assert state.ending == "overdue"
    assert "limits.running_seconds" in state.message
    assert "refuses our credentials" in state.message


def test_scheduling_counts_from_when_the_gate_was_seen_to_go(
    api: KubernetesApi, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_watch, "_LONGEST_WAIT_SECONDS", 0.5)
    old = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    pod = put_pod(api, metadata=old, spec={"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]})
    limits = Limits(queueing_seconds=1e9, scheduling_seconds=2)
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig), limits)
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        went = time.monotonic()
        gone = put_pod(api, metadata={**pod["metadata"], "generation": 2}, spec={})
        with Follower() as later:  # after a triggerer change
            later.follow(find_place(api, gone, kubeconfig), limits)
            for state in (follower.wait_for_end(), later.wait_for_end()):
                assert state.ending == "overdue"
                assert "limits.scheduling_seconds" in state.message
    assert time.monotonic() - went > limits.scheduling_seconds


def test_many_followers_share_one_watch(api: KubernetesApi, kubeconfig: Path) -> None:
    pods = [put_pod(api, f"train-{number}", status=running()) for number in range(20)]
    with Follower() as follower:
        for number, pod in enumerate(pods):
            follower.follow(find_place(api, pod, kubeconfig), stage=f"s{number}")
        wait_until(lambda: api.count(is_watch) == 1, "the watch")
        for pod in pods:
            api.change(pod["metadata"]["name"], status=ended())
        for number in range(len(pods)):
            assert follower.wait_for_end(f"s{number}").ending == "exited"
    assert (api.count(is_watch), api.count(is_list)) == (1, 1)
    assert pod_watch._shared == {}


def test_credentials_that_cannot_be_read_at_first_cost_no_pod(api: KubernetesApi, tmp_path: Path) -> None:
    """As where a triggerer starts while its kubeconfig's plugin, or Airflow's secrets, are away."""
    pod = put_pod(api, status=running())
    api.write_log("train-1", [stamp("a line")])
    kubeconfig = tmp_path / "comes-later"
    with Follower() as follower:
        follower.follow(find_place(api, pod, kubeconfig))
        wait_until(lambda: bool(pod_watch._shared), "the watch")
        api.write_kubeconfig(kubeconfig)
        wait_until(lambda: follower.lines == ["a line"], "the log")
        api.write_log("train-1", [], end=True)
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
