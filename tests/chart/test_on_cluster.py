"""The chart on a real cluster, in the order of a life: installed, upgraded under a run, rolled back, taken down.

All of it on two nodes of this machine, with stand-ins for PostgreSQL's and MinIO's images.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
import yaml
from tests.chart.conftest import Installed
from tests.chart.helm import PRESETS, Release, render
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import ClusterError

from airloom.errors import UnavailableError

pytestmark = pytest.mark.timeout(900, func_only=True)
TRAIN, PROMOTE = "ops__flight_delay__train", "ops__flight_delay__promote"
_STAGES = {"ingest", "validate", "features", "train", "evaluate", "test", "gate", "register"}
_INSTALL_SECONDS = 180
_IDLE_BYTES = 4e9


@pytest.mark.parametrize("preset", PRESETS)
def test_kubernetes_accepts_what_a_preset_renders(cluster: LocalCluster, definitions: None, preset: str) -> None:
    """A server-side dry run of everything, routes and monitors with it; the namespaces must be there for it."""
    asked = {
        "objectStore": {"uri": "s3://models/airloom"},
        "teams": {"ops": {"quota": {"pods": 20}}},
        "ingress": {"enabled": True, "apiServer": "airflow.example"},
        "gatewayApi": {"enabled": True, "gateway": "models.example", "parentRefs": [{"name": "outside"}]},
        "monitoring": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
    }
    manifests = [each for each in render(asked, preset) if each["kind"] != "Namespace"]
    text = yaml.safe_dump_all(manifests)
    for space in ("models", "airloom-ops"):
        space_manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
        cluster.kubectl("apply", "-f", "-", given=json.dumps(space_manifest))
    try:
        answers = cluster.kubectl("create", "--dry-run=server", "-f", "-", given=text).splitlines()
    finally:
        cluster.kubectl("delete", "namespace", "models", "airloom-ops")
    assert len([line for line in answers if line.endswith("created (server dry run)")]) == len(manifests)


def test_it_installs_in_time_and_its_own_test_passes(installed: Installed) -> None:
    assert re.search(r"Phase: +Succeeded", installed.release.test())
    assert installed.seconds < _INSTALL_SECONDS
    used = measure_memory(installed)
    print(f"idle memory: {used / 1e9:.2f} GB")
    assert used < _IDLE_BYTES


def test_the_flight_pipeline_becomes_a_served_champion(installed: Installed) -> None:
    """Every stage a pod on the pool that its profile names."""
    api = installed.api()
    api.wait_for_dag(TRAIN, 120)
    run_id = api.trigger(TRAIN, {})
    assert api.wait_for_run(TRAIN, run_id, 600)["state"] == "success", tell(installed, TRAIN, run_id)
    promotion = api.wait_for_new_run(PROMOTE, set(), 60)["dag_run_id"]
    assert api.wait_for_run(PROMOTE, promotion, 300)["state"] == "success", tell(installed, PROMOTE, promotion)
    started = list_started(installed)
    assert {read_stage(pod) for pod in started} >= _STAGES
    assert set(started.values()) == {"node2"}
    ready = httpx.get(f"{installed.release.address('gateway')}/v2/health/ready", trust_env=False).json()
    assert ready["models"] == {"ops.flight_delay": "1"}


def test_an_upgrade_under_a_run_loses_no_task_and_runs_none_again(installed: Installed) -> None:
    """Every part of Airflow, MLflow and the gateway is replaced while stages run."""
    api = installed.api()
    before = pod_names(installed)
    known = set(list_started(installed))
    run_id = api.trigger(TRAIN, {})
    installed.release.cluster.wait(lambda: bool(set(list_started(installed)) - known), "the first stage's pod", 120)
    changed = upgraded(installed)
    with ThreadPoolExecutor() as pool:
        upgrading = pool.submit(changed.upgrade)
        installed.release.cluster.wait(lambda: before != pod_names(installed), "the upgrade begins", 60)
        with pytest.raises(ClusterError, match=r"another operation .* is in progress"):
            changed.upgrade()
        print(f"helm upgrade --wait: {upgrading.result():.0f} s")
    assert not before & pod_names(installed)
    state = wait_patiently(installed, TRAIN, run_id)
    assert state == "success", tell(installed, TRAIN, run_id)
    tasks = installed.api().task_instances(TRAIN, run_id)
    assert {task["task_id"]: task["try_number"] for task in tasks} == dict.fromkeys(_STAGES, 1)
    stages = [read_stage(pod) for pod in set(list_started(installed)) - known]
    assert sorted(stage for stage in stages if stage in _STAGES) == sorted(_STAGES)


def test_keys_and_passwords_are_kept_across_an_upgrade(installed: Installed) -> None:
    names = ("airloom-keys", "airloom-postgresql", "airloom-objects")
    before, pods = [installed.secret(name) for name in names], pod_names(installed)
    upgraded(installed).upgrade()
    assert [installed.secret(name) for name in names] == before
    assert pod_names(installed) == pods  # nothing was changed, so nothing was rolled


def test_a_rollback_brings_the_first_revision_back(installed: Installed) -> None:
    installed.release.rollback(1)
    assert re.search(r"Phase: +Succeeded", installed.release.test())
    assert not [pod for pod in installed.release.get("pods") if "upgraded" in pod["metadata"].get("annotations", {})]


def test_after_uninstalling_only_the_volumes_are_left(installed: Installed) -> None:
    installed.release.uninstall()
    kinds = "deployments,statefulsets,jobs,services,secrets,roles,rolebindings,networkpolicies,pods"
    installed.release.cluster.wait(lambda: not installed.release.get(kinds), "all of it goes", 120)
    claims = {claim["metadata"]["name"] for claim in installed.release.get("persistentvolumeclaims")}
    assert claims == {"data-airloom-postgresql-0", "data-airloom-minio-0"}
    installed.release.cluster.wait(lambda: "airloom-ops" not in namespaces(installed), "the team's namespace goes")


def upgraded(installed: Installed) -> Release:
    """The release with a change that replaces every pod but the bundled servers'."""
    parts = ("apiServer", "scheduler", "dagProcessor", "triggerer", "mlflow", "gateway")
    changes = {part: {"podAnnotations": {"upgraded": "yes"}} for part in parts}
    return replace(installed.release, values={**installed.release.values, **changes})


def pod_names(installed: Installed) -> set[str]:
    """Of the pods of deployments that are not on their way out."""
    return {
        pod["metadata"]["name"]
        for pod in installed.release.get("pods")
        if "deletionTimestamp" not in pod["metadata"]
        and [each["kind"] for each in pod["metadata"].get("ownerReferences", ())] == ["ReplicaSet"]
    }


def list_started(installed: Installed) -> dict[str, str]:
    """Every stage's pod that was put on a node in the last hour, by its name: the node."""
    text = installed.release.cluster.kubectl(
        "-n", "airloom-ops", "get", "events", "--field-selector=reason=Scheduled", "-o", "json"
    )
    return {
        event["involvedObject"]["name"]: event["message"].rpartition(" to ")[2] for event in json.loads(text)["items"]
    }


def read_stage(pod: str) -> str:
    """`train` of `flight-delay-train-0123456789ab-1-0`."""
    found = re.fullmatch(r"flight-delay-([a-z-]+)-[0-9a-f]{12}-\d+-\d+", pod)
    assert found, pod
    return found[1]


def namespaces(installed: Installed) -> str:
    return installed.release.cluster.kubectl("get", "namespaces", "-o", "name")


def wait_patiently(installed: Installed, dag_id: str, run_id: str) -> str:
    """A run's end; an API server that is being replaced is asked again."""
    seen: list[str] = []

    def ended() -> bool:
        try:
            seen[:] = [str(installed.api().run(dag_id, run_id)["state"])]
        except UnavailableError:
            return False
        return seen[0] in ("success", "failed")

    installed.release.cluster.wait(ended, f"{dag_id} ends", 600)
    return seen[0]


def tell(installed: Installed, dag_id: str, run_id: str) -> str:
    """What failed, with the end of its log."""
    api = installed.api()
    tasks = api.task_instances(dag_id, run_id)
    failed = [task for task in tasks if task["state"] in ("failed", "up_for_retry")]
    logs = [api.task_log(dag_id, run_id, task["task_id"], task["try_number"])[-3000:] for task in failed]
    return "\n".join([str({task["task_id"]: task["state"] for task in tasks}), *logs])


def measure_memory(installed: Installed) -> float:
    """Of all containers of the release, as the kubelets have it (working set); bytes."""
    total = 0.0
    for node in ("node1", "node2"):
        text = installed.release.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary")
        pods: list[dict[str, Any]] = json.loads(text)["pods"]
        own = [pod for pod in pods if pod["podRef"]["namespace"] == installed.release.namespace]
        total += sum(pod["memory"].get("workingSetBytes", 0) for pod in own)
    return total
