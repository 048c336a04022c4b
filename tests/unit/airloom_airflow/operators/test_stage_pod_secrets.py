"""A stage's secrets that Airflow has, on their way into its pod: by a Secret that the pod owns, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.log import redact
from tests.fakes.kubernetes_api import Request
from tests.unit.airloom_airflow.operators.test_stage_pod import (  # noqa: F401  the fixture
    Kubelet,
    build_context,
    build_event,
    defer,
    execute,
    here,
    is_create,
)

from airloom_airflow import stage_secrets
from airloom_airflow.operators import pod_client
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.pods.pod import SECRET_GATE
from airloom_airflow.public_names import AirflowException, AirflowFailException

PASSWORD, TOKEN = "correct horse battery", "hf_a1b2c3d4"
SECRETS = [
    "kubernetes-own",
    {"name": "WAREHOUSE", "conn_id": "warehouse"},
    {"name": "PGHOST", "conn_id": "warehouse", "field": "host"},
    {"name": "HF", "variable": "hf"},
]


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's secrets: its environment is one of its backends."""
    monkeypatch.setattr(stage_secrets, "_masked", {})
    connection = {"conn_type": "postgres", "host": "db.example", "login": "ops", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_HF", TOKEN)


@pytest.fixture
def secret_here(here: Any) -> Any:  # noqa: F811
    here.configure(deferrable=True, secrets=SECRETS)
    return here


def is_secret(request: Request) -> bool:
    return request.path.endswith("/secrets")


def is_patch(request: Request) -> bool:
    return request.method == "PATCH"


def gates(pod: dict[str, Any]) -> list[str]:
    return [gate["name"] for gate in pod["spec"].get("schedulingGates", ())]


def test_values_are_in_a_secret_that_the_pod_owns_and_not_in_the_pod(secret_here, api):
    defer(secret_here.make())
    [pod] = map(api.find, api.names)
    [(name, secret)] = api.secrets.items()
    assert PASSWORD not in json.dumps(pod)
    assert TOKEN not in json.dumps(pod)
    assert secret["stringData"] == {"WAREHOUSE": PASSWORD, "PGHOST": "db.example", "HF": TOKEN}
    [owner] = secret["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    container = pod["spec"]["containers"][0]
    refs = {each["name"]: each["valueFrom"].get("secretKeyRef") for each in container["env"] if "valueFrom" in each}
    assert refs["WAREHOUSE"] == {"name": name, "key": "WAREHOUSE"}
    assert {"name": "AIRLOOM_MASKED_VARIABLES", "value": "WAREHOUSE HF"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "kubernetes-own"}}]
    assert gates(pod) == []


def test_the_secret_is_there_before_the_pod_may_start_and_goes_with_it(secret_here, api):
    secret_here.configure(deferrable=False)
    held: list[dict[str, Any]] = []
    run = secret_here.succeed()

    def run_with_secret(pod: dict[str, Any]) -> None:
        held.extend(api.secrets.values())
        run(pod)

    with Kubelet(api, [run_with_secret]):
        execute(secret_here.make())
    assert [secret["stringData"]["HF"] for secret in held] == [TOKEN]
    assert (api.names, api.secrets) == ([], {})


def test_airflow_masks_them_in_the_tasks_log_but_for_what_is_no_secret(secret_here):
    defer(secret_here.make())
    assert redact(f"{PASSWORD} {TOKEN} db.example") == "*** *** db.example"


def test_the_trigger_knows_which_to_mask_and_no_value(secret_here):
    trigger = defer(secret_here.make()).trigger
    assert trigger.secrets == [SECRETS[1], SECRETS[2], SECRETS[3]]
    assert PASSWORD not in str(trigger.serialize())


def test_each_pod_of_a_try_has_a_secret_of_its_own(secret_here, api):
    deferred = defer(secret_here.make())
    api.remove(api.names[0])
    assert api.secrets == {}
    lost = build_event(deferred, ending="lost", exit_code=None, by_stage=False, message="gone")
    with pytest.raises(TaskDeferred):
        secret_here.make().resume(build_context(), lost)
    [secret] = api.secrets.values()
    assert secret["metadata"]["ownerReferences"][0]["name"] == api.names[0]


@pytest.mark.parametrize("status", [0, 429, 503])
@pytest.mark.parametrize("step", [is_secret, is_patch])
def test_an_api_server_away_for_a_moment_costs_nothing(secret_here, api, status, step):
    api.fail(status, 2, step)
    defer(secret_here.make())
    assert [gates(api.find(name)) for name in api.names] == [[]]
    assert len(api.secrets) == 1


def test_a_worker_that_finds_the_pod_of_its_own_try_held_lets_it_go_on(secret_here, api, monkeypatch):
    """As one whose answer to the making of the pod was lost, or whose machine was, does."""
    give = PodClient.give_secret
    monkeypatch.setattr(PodClient, "give_secret", lambda *_: None)
    uid = defer(secret_here.make()).trigger.place["uid"]
    assert gates(api.find(api.names[0])) == [SECRET_GATE]
    monkeypatch.setattr(PodClient, "give_secret", give)
    assert defer(secret_here.make()).trigger.place["uid"] == uid
    assert gates(api.find(api.names[0])) == []
    [secret] = api.secrets.values()
    assert secret["metadata"]["name"] == api.find(api.names[0])["metadata"]["annotations"]["airloom.io/secret"]


def test_a_pod_that_an_earlier_try_left_held_is_made_anew(secret_here, api, monkeypatch):
    give = PodClient.give_secret
    monkeypatch.setattr(PodClient, "give_secret", lambda *_: None)
    uid = defer(secret_here.make()).trigger.place["uid"]
    monkeypatch.setattr(PodClient, "give_secret", give)
    place = defer(secret_here.make(), try_number=2, task_instance="018f-2").trigger.place
    assert place["uid"] != uid
    assert api.names == [place["name"]]
    assert gates(api.find(place["name"])) == []


@pytest.mark.parametrize("step", [is_secret, is_patch])
def test_a_right_that_is_missing_is_told_and_leaves_no_pod(secret_here, api, step, monkeypatch):
    monkeypatch.setattr(pod_client, "_UNREADY_SECONDS", 0.0)
    api.fail(403, 1, step, 'User "airloom-airflow" cannot create resource "secrets"')
    with pytest.raises(AirflowFailException, match=r"cannot create resource \"secrets\"") as raised:
        execute(secret_here.make())
    assert "helm/team-namespace.yaml" in str(raised.value)
    assert (api.names, api.secrets) == ([], {})


def test_a_quota_of_secrets_without_room_is_waited_for(secret_here, api):
    api.fail(403, 1, is_secret, "exceeded quota: objects, requested: secrets=1, used: secrets=9, limited: secrets=9")
    deferred = defer(secret_here.make())
    assert deferred.method_name == "start_again"
    assert api.names == []
    with pytest.raises(TaskDeferred):
        secret_here.make().start_again(build_context(), event=None, **deferred.kwargs)
    assert len(api.secrets) == 1


@pytest.mark.parametrize("name", ["AIRFLOW_CONN_WAREHOUSE", "AIRFLOW_VAR_HF"])
def test_what_airflow_does_not_have_is_retried_with_nothing_made(secret_here, api, monkeypatch, name):
    monkeypatch.delenv(name)
    with pytest.raises(AirflowException, match="cannot be had") as raised:
        execute(secret_here.make())
    assert not isinstance(raised.value, AirflowFailException)
    assert api.count(is_create) == 0


def test_a_backend_that_is_away_when_a_stage_has_ended_costs_no_finished_work(secret_here, api, monkeypatch):
    deferred = defer(secret_here.make())
    monkeypatch.delenv("AIRFLOW_VAR_HF")
    event = build_event(deferred, message=secret_here.write_result())
    secret_here.succeed()(api.find(api.names[0]))
    assert secret_here.make().resume(build_context(), event).endswith("train.json")
    assert (api.names, api.secrets) == ([], {})


def test_an_installation_without_such_secrets_needs_no_right_to_them(here, api):  # noqa: F811
    here.configure(deferrable=True, secrets=["kubernetes-own"])
    defer(here.make())
    assert api.count(is_secret) == 0
    assert gates(api.find(api.names[0])) == []
