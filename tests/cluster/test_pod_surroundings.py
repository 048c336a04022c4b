"""What surrounds a stage's pod: Airflow's rights in the cluster, callbacks, lineage and traces, pods that are kept."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tests.cluster.installation import AIRFLOW_USER, NAMESPACE, Installation, changed
from tests.cluster.local.cluster import LocalCluster

pytestmark = pytest.mark.timeout(300, func_only=True)

RECORDER = """\
from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback


def _record(name, pod=None, pod_request=None, operator=None, client=None, mode=None, **_):
    stage = (pod or pod_request).metadata.labels["airloom.io/stage"]
    assert operator.task_id == stage and client.api_client and mode
    with open({path!r}, "a") as file:
        file.write(name + "\\n")


class Recorder(KubernetesPodOperatorCallback):
    pass


for _name in ("on_pod_manifest_created", "on_pod_creation", "on_pod_completion", "on_pod_teardown", "on_pod_cleanup"):
    setattr(Recorder, _name, staticmethod(lambda _name=_name, **given: _record(_name, **given)))
"""
ONE_STAGE = ["on_pod_manifest_created", "on_pod_creation", "on_pod_completion", "on_pod_teardown"]


@pytest.fixture
def recorded(installation: Installation, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A callback class `recorder_<deferrable>.Recorder` for Airflow, and the file that it writes to."""
    path = installation.folder / f"recorded-{request.node.callspec.id}"
    plugins = installation.settings.home / "airflow" / "plugins"
    module = plugins / f"recorder_{request.node.callspec.id.lower()}.py"
    module.write_text(RECORDER.format(path=str(path)))
    yield path
    module.unlink()


@pytest.mark.parametrize("deferrable", [True, False])
def test_callbacks_are_called_deferred_or_not(installation: Installation, recorded: Path, deferrable: bool) -> None:
    callbacks = [f"recorder_{str(deferrable).lower()}.Recorder"]
    with changed(installation, callbacks=callbacks, deferrable=deferrable):
        run = installation.start("small")
        assert run.end() == "success"
    assert [name for name in recorded.read_text().split() if name in ONE_STAGE] == 3 * ONE_STAGE


def test_a_failed_pod_is_kept_where_the_cluster_file_says_so(installation: Installation) -> None:
    with changed(installation, keep_failed_pods=True):
        run = installation.start("small", behaviour={"train": "permanent"})
        assert run.end() == "failed"
    [pod] = [
        pod
        for pod in installation.pods(pipeline="small", kept="true")
        if pod["metadata"]["annotations"]["airloom.io/run-id"] == run.run_id
    ]
    assert pod["metadata"]["labels"]["airloom.io/stage"] == "train"
    told = installation.cluster.kubectl("-n", NAMESPACE, "logs", pod["metadata"]["name"])
    assert "fake train: permanent" in told
    installation.cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=false")


def test_lineage_and_traces_reach_into_the_pod(installation: Installation) -> None:
    gate = installation.bucket.build_gate()
    run = installation.start("small", behaviour={"ingest": "wait"}, gate_file=gate.uri)
    [container] = run.pod("ingest")["spec"]["containers"]
    gate.open()
    assert run.end() == "success"
    told = {variable["name"]: variable.get("value") for variable in container["env"]}
    parent = json.loads(told["OPENLINEAGE_CONTEXT"])["parent"]
    assert installation.settings.lineage_path
    events = [json.loads(line) for line in installation.settings.lineage_path.read_text().splitlines()]
    started = next(event for event in events if event["run"]["runId"] == parent["run"]["runId"])
    assert started["job"]["name"] == parent["job"]["name"] == "ops__small__train.ingest"
    root = started["run"]["facets"]["parent"]["root"]["run"]["runId"]
    assert parent["root"]["run"]["runId"] == root
    version, trace, span, _ = told["TRACEPARENT"].split("-")
    assert (version, len(trace), len(span)) == ("00", 32, 16)


TOKEN, VALUE = "AIRLOOM_TEST_TOKEN", "hf-correct-horse-battery"
SECRETS = [{"name": TOKEN, "variable": "test_token"}]


@pytest.fixture
def variable(installation: Installation) -> Iterator[None]:
    """In Airflow's database, by its API: a variable, which is no secret by its name."""
    api = installation.runtime.addresses.airflow
    headers = {"Authorization": f"Bearer {installation.api.token()}"}
    with httpx.Client(base_url=f"{api}/api/v2", headers=headers, trust_env=False) as client:
        client.post("/variables", json={"key": "test_token", "value": VALUE}).raise_for_status()
        yield
        client.delete("/variables/test_token").raise_for_status()


@pytest.mark.usefixtures("variable")
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_secret_that_airflow_has_is_in_a_secret_of_the_pods_own_and_in_no_log(
    installation: Installation, deferrable: bool
) -> None:
    gate, kubectl = installation.bucket.build_gate(), installation.cluster.kubectl
    with changed(installation, secrets=SECRETS, deferrable=deferrable):
        told = {"behaviour": {"ingest": "wait"}, "writes": {"ingest": TOKEN}, "gate_file": gate.uri}
        run = installation.start("small", **told)
        pod = run.pod("ingest")
        assert VALUE not in json.dumps(pod)
        name, uid = pod["metadata"]["annotations"]["airloom.io/secret"], pod["metadata"]["uid"]
        secret = json.loads(kubectl("-n", NAMESPACE, "get", "secret", name, "-o", "json"))
        assert b64decode(secret["data"][TOKEN]).decode() == VALUE
        assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [uid]
        gate.open()
        assert run.end() == "success"
    assert f"{TOKEN} is ***" in run.log("ingest")
    assert VALUE not in run.log("ingest")

    def are_gone() -> bool:
        told = kubectl("-n", NAMESPACE, "get", "secrets", "-o", "json", "-l", "airloom.io/stage")
        return not json.loads(told)["items"]

    installation.cluster.wait(are_gone, "the Secrets are gone with their pods")


@pytest.mark.usefixtures("variable")
def test_airflow_uses_every_right_that_it_has_and_needs_no_other(
    installation: Installation, local_cluster: LocalCluster
) -> None:
    role = installation.cluster.kubectl("-n", NAMESPACE, "get", "role", AIRFLOW_USER, "-o", "yaml")
    granted = {
        (verb, resource)
        for rule in yaml.safe_load(role)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    before = len(local_cluster.audit_log.read_text().splitlines())  # an API server that has just started refuses all
    with changed(installation, secrets=SECRETS):
        for pipeline in ("small", "fused"):
            assert installation.start(pipeline).end() == "success"
    asked = [json.loads(line) for line in local_cluster.audit_log.read_text().splitlines()]
    refused = [
        request["requestURI"] for request in asked[before:] if request.get("responseStatus", {}).get("code") == 403
    ]
    used = set()
    for request in asked:
        if thing := request.get("objectRef"):
            used.add((request["verb"], "/".join(filter(None, (thing["resource"], thing.get("subresource"))))))
    assert used == granted
    assert refused == []
