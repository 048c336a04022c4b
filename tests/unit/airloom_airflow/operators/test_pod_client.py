"""Pods are made once, found by uid, and read and deleted though the API server is away for a moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from tests.fakes.kubernetes_api import KubernetesApi, Request

from airloom.errors import ConfigError, UnavailableError
from airloom.protocol.section import Section
from airloom.spec.cluster import Connection
from airloom_airflow.operators.pod_client import PodClient, QuotaExceededError
from airloom_airflow.pods.pod import TASK_INSTANCE_LABEL
from airloom_airflow.triggers.pod_log import LogPosition
from airloom_airflow.triggers.pod_watch import PodPlace

CONNECTION = Connection()


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        yield api


@pytest.fixture
def pods(api: KubernetesApi, tmp_path: Path) -> PodClient:
    file = str(api.write_kubeconfig(tmp_path / "kubeconfig", {"token": "a"}))

    def connect() -> Any:
        return client.CoreV1Api(config.new_client_from_config(file))

    return PodClient(connect, CONNECTION, logging.getLogger("test"), away_seconds=3)  # type: ignore[arg-type]


def pod(task_instance: str = "try-1") -> Any:
    labels = {TASK_INSTANCE_LABEL: task_instance}
    return client.V1Pod(metadata=client.V1ObjectMeta(name="train-1", namespace="ops", labels=labels))


def asks(method: str) -> Any:
    return lambda request: request.method == method


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_an_api_server_that_is_away_for_a_moment_is_asked_again(
    api: KubernetesApi, pods: PodClient, status: int
) -> None:
    api.fail(status, 2, asks("POST"))
    place = pods.find_place(pods.create(pod()))
    api.fail(status, 2, asks("GET"))
    assert pods.read(place) == api.find("train-1")
    api.fail(status, 2, asks("PATCH"))
    pods.mark(place, {"airloom.io/kept": "true"})
    assert (api.find("train-1") or {})["metadata"]["labels"]["airloom.io/kept"] == "true"
    api.fail(status, 2, asks("DELETE"))
    pods.delete(place)
    assert api.names == []


def test_one_that_stays_away_is_a_transient_failure(api: KubernetesApi, pods: PodClient) -> None:
    api.away = True
    with pytest.raises(UnavailableError, match="was away for 3 s"):
        pods.create(pod())


def test_a_pod_that_this_try_has_made_is_gone_on_with(api: KubernetesApi, pods: PodClient) -> None:
    first = pods.find_place(pods.create(pod()))
    assert pods.find_place(pods.create(pod())) == first
    assert api.names == ["train-1"]


def test_a_pod_of_another_try_that_has_the_name_goes_first(api: KubernetesApi, pods: PodClient) -> None:
    former = pods.find_place(pods.create(pod("a try of a deleted run")))
    made = pods.find_place(pods.create(pod()))
    assert made.uid != former.uid
    assert (api.find("train-1") or {})["metadata"]["labels"][TASK_INSTANCE_LABEL] == "try-1"


def test_a_pod_that_has_the_name_now_is_not_taken_for_the_one_that_had_it(api: KubernetesApi, pods: PodClient) -> None:
    made = pods.find_place(pods.create(pod()))
    former = PodPlace(CONNECTION, "ops", "train-1", "another uid")
    assert pods.read(former) is None
    pods.delete(former)
    pods.mark(former, {"x": "y"})
    assert "x" not in (api.find("train-1") or {})["metadata"]["labels"]
    assert pods.read(made) is not None


def test_a_full_quota_is_told_from_what_is_forbidden(api: KubernetesApi, pods: PodClient) -> None:
    api.fail(403, 1, asks("POST"), 'pods "train-1" is forbidden: exceeded quota: team, requested: pods=1, used: pods=5')
    with pytest.raises(QuotaExceededError, match="exceeded quota: team"):
        pods.create(pod())
    api.fail(403, 1, asks("POST"), 'pods "train-1" is forbidden: violates PodSecurity "restricted:latest"')
    with pytest.raises(ConfigError, match="violates PodSecurity"):
        pods.create(pod())


def test_refused_credentials_are_read_anew_once(api: KubernetesApi, tmp_path: Path, pods: PodClient) -> None:
    api.tokens = {"b"}
    api.write_kubeconfig(tmp_path / "kubeconfig", {"token": "b"})
    assert pods.list("ops", "") == []
    refused: list[Request] = [request for request in api.requests if request.token == "a"]
    assert len(refused) == 1


def test_there_may_be_no_log_yet(pods: PodClient, api: KubernetesApi) -> None:
    place = pods.find_place(pods.create(pod()))
    lines: list[str] = []
    position = LogPosition(lambda line, when: lines.append(line), Section(place.uid, "train", shared=False))
    assert pods.read_log(place, lambda: position) is None
    api.write_log("train-1", ["2026-11-25T00:00:00.000000001Z hello"], end=True)
    assert pods.read_log(place, lambda: position) is position
    assert lines == ["hello"]
