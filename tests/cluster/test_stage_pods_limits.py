"""What a stage's pod may do wrong at its end, each of its time limits, and what is short or away for a while."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tests.cluster.bucket import Gate
from tests.cluster.installation import NAMESPACE, SMALL, Installation, Run, changed, run_installation
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.test_stage_pods import assert_once_and_whole, delete, find_task_processes, lines_of
from tests.images.builder import build_image
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300, func_only=True)

ACCOUNT = "airloom-airflow"
QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: full}
spec: {hard: {pods: "0"}}
"""
EXEC_PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


def change_profile(installation: Installation, **changes: object) -> object:
    """The profile `cpu-small` with other settings, for the length of a block."""
    assert installation.settings.cluster_file
    profiles = yaml.safe_load(installation.settings.cluster_file.read_text())["spec"]["profiles"]
    profiles["cpu-small"] |= changes
    return changed(installation, profiles=profiles)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("silent", "stage ingest left no whole pointer"), ("forged", "does not have the digest")],
)
def test_a_pod_that_ends_well_without_its_result_has_not_succeeded(
    installation: Installation, behaviour: str, words: str
) -> None:
    run = installation.start("small", behaviour={"ingest": behaviour})
    assert run.end() == "failed"
    assert words in run.log("ingest")
    assert run.task("train")["state"] == "upstream_failed"


def test_a_log_is_what_the_stage_printed_to_its_last_line(installation: Installation) -> None:
    run = installation.start("small", behaviour={"ingest": "lines"}, lines=3000)
    assert run.end() == "success"
    assert lines_of(run.log("ingest")) == list(range(3000))


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """Address of an image registry that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("phase", ["queueing", "scheduling", "pulling", "running"])
def test_each_time_limit_fails_the_stage_by_its_name(
    installation: Installation, local_cluster: LocalCluster, silent_registry: str, gate: Gate, phase: str
) -> None:
    assert installation.settings.cluster_file
    document = yaml.safe_load(installation.settings.cluster_file.read_text())
    template = document["spec"]["profiles"]["cpu-small"]["podTemplate"]
    template["spec"]["schedulingGates"] = [{"name": "tests/held"}]
    changes = {
        "queueing": {"podTemplate": template},
        "scheduling": {"nodeSelector": {"tests/nowhere": "true"}},
        "pulling": {"image": f"{silent_registry}/never/comes:1"},
        "running": {},
    }[phase]
    with change_profile(installation, limits={f"{phase}_seconds": 4}, **changes):  # type: ignore[attr-defined]
        run = installation.start("small", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        assert run.end() == "failed"
    assert f"{phase} took longer than 4 s (limits.{phase}_seconds of the profile)" in run.log("ingest")
    installation.wait_until_gone(pipeline="small", stage="ingest")


def test_the_last_loss_of_spot_nodes_moves_the_stage_to_an_on_demand_node(
    installation: Installation, local_cluster: LocalCluster, gate: Gate
) -> None:
    for node, capacity in (("node1", "spot"), ("node2", "on-demand")):
        local_cluster.kubectl("label", "node", node, f"airloom.io/capacity={capacity}", "--overwrite")
    try:
        with change_profile(installation, capacity="spot", infrastructure_losses=2):  # type: ignore[attr-defined]
            run = installation.start("small", behaviour={"ingest": "wait"}, gate_file=gate.uri)
            nodes, last = [], ""
            for _ in range(3):
                pod = run.pod("ingest", other_than=last)
                nodes.append(pod["spec"]["nodeName"])
                last = pod["metadata"]["name"]
                if len(nodes) < 3:
                    delete(installation, pod)
            gate.open()
            run.wait_for_task("ingest", "success")
        assert nodes == ["node1", "node1", "node2"]
        assert run.end() == "success"
    finally:
        for node in ("node1", "node2"):
            local_cluster.kubectl("label", "node", node, "airloom.io/capacity-")


def test_a_gpu_node_that_joins_takes_the_stage_that_waited_for_it(
    installation: Installation, local_cluster: LocalCluster, gate: Gate
) -> None:
    run = installation.start("gpu", behaviour={"ingest": "wait"}, gate_file=gate.uri)
    run.wait_for_task("ingest", "deferred")
    installation.cluster.wait(lambda: "Insufficient nvidia.com/gpu" in run.log("ingest"), "the scheduler's words")
    local_cluster.add_node(3)
    try:
        local_cluster.wait(lambda: local_cluster.ready_nodes().get("node3", False), "the node joins")
        local_cluster.load_image(build_image("stage-trivial"))
        local_cluster.give_resource(3, "nvidia.com/gpu", 1)
        assert run.pod("ingest")["spec"]["nodeName"] == "node3"
        gate.open()
        assert run.end(180) == "success"
    finally:
        local_cluster.remove_node(3)


def kill_the_worker(installation: Installation) -> None:
    """The one that holds a task, once those of earlier tasks have ended."""
    wait_until(lambda: len(find_task_processes(installation)) == 1, "one worker holds a task", 60)
    os.kill(find_task_processes(installation)[0], signal.SIGKILL)


def run_until_its_operator_starts(run: Run) -> None:
    """Its lineage's start is the last that Airflow logs before."""
    wait_until(lambda: run.task("ingest")["state"] == "running", "a worker holds the task", 60)
    wait_until(lambda: "OpenLineage `START`" in run.log("ingest"), "the operator starts", 60)


def test_a_worker_killed_while_it_makes_a_pod_leaves_one_pod(
    installation: Installation, local_cluster: LocalCluster, gate: Gate
) -> None:
    local_cluster.stop_api_server()
    try:
        run = installation.start("patient", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        run_until_its_operator_starts(run)
        kill_the_worker(installation)
    finally:
        local_cluster.up()
    run.pod("ingest")
    assert (
        len([pod for pod in installation.pods(pipeline="patient") if "deletionTimestamp" not in pod["metadata"]]) == 1
    )
    gate.open()
    assert run.end(240) == "success"
    assert run.task("ingest")["try_number"] == 2


def test_the_api_server_may_be_away_at_a_stages_end(
    installation: Installation, local_cluster: LocalCluster, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    pod = run.pod("ingest")["metadata"]["name"]
    local_cluster.stop_api_server()
    try:
        before = set(installation.list_artifacts(run.pipeline))
        gate.open()
        wait_until(lambda: set(installation.list_artifacts(run.pipeline)) > before, "the stage writes its result", 60)
    finally:
        local_cluster.up()
    assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 1
    assert "Infrastructure loss" not in run.log("ingest")
    assert pod in run.log("ingest")
    assert_once_and_whole(run)


def test_a_full_quota_is_waited_for(installation: Installation) -> None:
    installation.cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", given=QUOTA)
    try:
        counted = ("-n", NAMESPACE, "get", "quota", "full", "-o", "jsonpath={.status.hard}")
        installation.cluster.wait(lambda: "pods" in installation.cluster.kubectl(*counted), "the quota is counted")
        run = installation.start("small")
        run.wait_for_task("ingest", "running")
        installation.cluster.wait(lambda: "exceeded quota: full" in run.log("ingest"), "the quota's words")
    finally:
        installation.cluster.kubectl("-n", NAMESPACE, "delete", "quota", "full")
    assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 1


def test_the_janitor_deletes_what_an_ended_run_left(installation: Installation, gate: Gate) -> None:
    """A worker that waits for its pod itself, and is killed at its last try, leaves the pod."""
    with changed(installation, deferrable=False):
        run = installation.start("small", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        pod = run.pod("ingest")
        installation.cluster.wait(lambda: bool(lines_of(run.log("ingest"))), "the worker reads the log")
        kill_the_worker(installation)
        assert run.end() == "failed"
    assert run.pod("ingest")["metadata"]["uid"] == pod["metadata"]["uid"]
    janitor = installation.api.trigger("airloom__janitor", {"older_than_minutes": 0})
    assert installation.api.wait_for_run("airloom__janitor", janitor, 60)["state"] == "success"
    assert pod["metadata"]["name"] in installation.api.task_log("airloom__janitor", janitor, "clean", 1)
    installation.wait_until_gone(pipeline="small", stage="ingest")


def test_a_token_that_ends_mid_stage_is_replaced(
    installation: Installation, waiting: Callable[..., Run], gate: Gate
) -> None:
    """As an exec plugin gives it: the first ends with the Secret that it is bound to."""
    cluster = installation.cluster
    token = installation.folder / "token"
    issue_token(installation, "first", token)
    script = installation.folder / "token-plugin"
    script.write_text(PLUGIN.format(token=shlex.quote(str(token))))
    script.chmod(0o755)
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"exec": {**EXEC_PLUGIN, "command": str(script)}}
    kubeconfig = installation.folder / "exec.kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    with changed(installation, connection={"kubeconfig": str(kubeconfig)}):
        run = waiting()
        issue_token(installation, "second", token)
        cluster.kubectl("-n", "airflow", "delete", "secret", "first")
        old = installation.folder / "token.old"
        cluster.wait(lambda: is_refused(installation, old), "the API server refuses the first token")
        gate.open()
        assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 1
    assert_once_and_whole(run)


PLUGIN = """\
#!/bin/sh
printf '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "%s"}}}}' \\
    "$(cat {token})"
"""


def issue_token(installation: Installation, secret: str, path: Path) -> None:
    """A token of Airflow's account that lives as long as a Secret, to a file; the one that was there to `.old`."""
    kubectl = installation.cluster.kubectl
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": "airflow"}}
    kubectl("apply", "-f", "-", given=yaml.safe_dump_all([{"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "airflow"}}, account]))  # fmt: skip
    kubectl("-n", "airflow", "create", "secret", "generic", secret)
    bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
    token = kubectl("-n", "airflow", "create", "token", ACCOUNT, *bound).strip()
    if path.exists():
        path.rename(path.with_suffix(".old"))
    path.write_text(token)


def is_refused(installation: Installation, token: Path) -> bool:
    config = json.loads(installation.cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    [cluster] = [entry["cluster"] for entry in config["clusters"]]
    context = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    url = f"{cluster['server']}/api/v1/namespaces/{NAMESPACE}/pods"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token.read_text()}"}, verify=context, trust_env=False)
    return answer.status_code == 401


def test_two_installations_in_one_namespace_leave_each_others_pods(
    installation: Installation, waiting: Callable[..., Run], gate: Gate, tmp_path: Path
) -> None:
    run = waiting()
    pipelines = {"small": SMALL.format(name="small", compute="cpu-small", retries=0)}
    image = yaml.safe_load(installation.settings.cluster_file.read_text())["spec"]["images"]["cpu"]  # type: ignore[union-attr]
    with run_installation(installation.cluster, image, installation.bucket, tmp_path, {}, pipelines) as other:
        theirs = other.start("small", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        theirs.wait_for_task("ingest", "deferred")
        names = {pod["metadata"]["name"] for pod in installation.pods(pipeline="small", stage="ingest")}
        assert len(names) == 2
        for each in (installation, other):
            janitor = each.api.trigger("airloom__janitor", {"older_than_minutes": 0})
            assert each.api.wait_for_run("airloom__janitor", janitor, 60)["state"] == "success"
        assert {pod["metadata"]["name"] for pod in installation.pods(pipeline="small", stage="ingest")} == names
        gate.open()
        assert theirs.end() == "success"
    assert run.end() == "success"
