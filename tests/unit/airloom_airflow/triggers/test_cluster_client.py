"""Credentials that do not come hold up nobody for longer than a limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.kubernetes_api import KubernetesApi
from tests.unit.airloom_airflow.triggers.pods import Follower, Plugin, ended, find_place, put_pod, running
from tests.waiting import wait_until

from airloom.spec.cluster import Limits
from airloom_airflow.triggers import cluster_client


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Whose token is asked for anew at once: it ends in less than five minutes."""
    monkeypatch.setattr(cluster_client, "_LOAD_SECONDS", 2.0)
    monkeypatch.setattr(cluster_client, "_RENEW_SECONDS", 0.0)
    return Plugin(tmp_path, "first", seconds=60)


def test_a_plugin_that_hangs_is_ended_and_the_pods_limits_count_on(
    api: KubernetesApi, tmp_path: Path, plugin: Plugin
) -> None:
    plugin.hang()
    pod = put_pod(api)
    with Follower() as follower:
        follower.follow(
            find_place(api, pod, api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)),
            Limits(scheduling_seconds=1),
        )
        wait_until(lambda: plugin.hangs, "the plugin")
        state = follower.wait_for_end()
    assert state.ending == "overdue"
    assert "gave none within 2 s" in state.message
    assert not plugin.hangs


def test_a_plugin_that_hangs_when_a_token_is_to_be_renewed_is_ended_and_the_pods_end_is_seen(
    api: KubernetesApi, tmp_path: Path, plugin: Plugin
) -> None:
    pod = put_pod(api, status=running())
    with Follower() as follower:
        follower.follow(find_place(api, pod, api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)))
        wait_until(lambda: api.count(lambda request: "watch" in request.query) == 1, "the watch")
        plugin.hang()
        api.cut()
        wait_until(lambda: plugin.hangs, "the plugin")
        api.change("train-1", status=ended())
        assert follower.wait_for_end().ending == "exited"
    wait_until(lambda: not plugin.hangs, "the plugin's end")


def test_many_that_wait_behind_a_plugin_that_hangs_do_not_each_wait_for_one_of_their_own(
    api: KubernetesApi, tmp_path: Path, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_client, "_RENEW_SECONDS", 60.0)
    plugin.hang()
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", plugin.user)
    with Follower() as follower:
        for number in range(10):
            place = find_place(api, put_pod(api, f"train-{number}"), kubeconfig)
            follower.follow(place, Limits(scheduling_seconds=1), stage=f"s{number}")
        for number in range(10):
            assert follower.wait_for_end(f"s{number}", seconds=15).ending == "overdue"
