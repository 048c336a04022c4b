"""Stages as pods of a real cluster, under a real Airflow, while things break."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.cluster.bucket import Gate
from tests.cluster.installation import NAMESPACE, Installation, Run, changed
from tests.cluster.local.cluster import LocalCluster
from tests.images.builder import image_reference

from airloom.embedded import processes
from airloom.errors import PermanentError

pytestmark = pytest.mark.timeout(300, func_only=True)  # the first test waits for a cluster, an image and an Airflow

URGENT = """\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: urgent}}
value: 1000
---
apiVersion: v1
kind: Pod
metadata: {{name: urgent}}
spec:
  priorityClassName: urgent
  containers:
    - name: urgent
      image: {image}
      command: [sleep, "600"]
      resources: {{limits: {{nvidia.com/gpu: 1}}}}
"""
"""A pod that takes a stage's GPU away."""


def lines_of(log: str) -> list[int]:
    return [int(number) for number in re.findall(r"^line (\d+)$", log, re.MULTILINE)]


def delete(installation: Installation, pod: dict) -> None:
    installation.cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--wait=false")


def assert_once_and_whole(run: Run, stage: str = "ingest") -> None:
    """Every line is there, in order, and none twice."""
    lines = lines_of(run.log(stage))
    assert lines == list(range(len(lines)))
    assert lines


def assert_lost_once(run: Run) -> None:
    assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 1
    assert "Infrastructure loss 1 of 3" in run.log("ingest")


def test_every_stage_is_a_pod_and_none_stays(installation: Installation) -> None:
    run = installation.start("small")
    assert run.end() == "success"
    assert {run.task(stage)["state"] for stage in ("ingest", "train", "register")} == {"success"}
    installation.wait_until_gone(pipeline="small")


def test_no_worker_is_held_and_the_log_comes_while_the_pod_runs(
    installation: Installation, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    assert run.task("ingest")["state"] == "deferred"
    installation.cluster.wait(lambda: len(lines_of(run.log("ingest"))) > 20, "lines in the log")
    gate.open()
    assert run.end() == "success"
    assert_once_and_whole(run)


def test_a_permanent_failure_fails_at_once_and_a_transient_one_is_retried(installation: Installation) -> None:
    permanent = installation.start("patient", behaviour={"train": "permanent"})
    transient = installation.start("patient", behaviour={"train": "transient"})
    for run, tries in ((permanent, 1), (transient, 2)):
        assert run.end() == "failed"
        assert (run.task("train")["state"], run.task("train")["try_number"]) == ("failed", tries)
    assert "train failed for a permanent reason" in permanent.log("train")


def test_a_deleted_pod_is_started_again(installation: Installation, waiting: Callable[..., Run], gate: Gate) -> None:
    run = waiting()
    first = run.pod("ingest")
    delete(installation, first)
    run.pod("ingest", other_than=first["metadata"]["name"])
    gate.open()
    assert_lost_once(run)


def test_an_evicted_pod_is_started_again(installation: Installation, waiting: Callable[..., Run], gate: Gate) -> None:
    run = waiting()
    pod = run.pod("ingest")
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    installation.cluster.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
    run.pod("ingest", other_than=name)
    gate.open()
    assert_lost_once(run)
    assert "EvictionByEvictionAPI" in run.log("ingest")


def test_a_drained_node_gives_its_stage_to_another(
    installation: Installation, local_cluster: LocalCluster, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    pod = run.pod("ingest")
    node = pod["spec"]["nodeName"]
    try:
        installation.cluster.kubectl("drain", node, "--force", "--ignore-daemonsets", "--delete-emptydir-data")
        again = run.pod("ingest", other_than=pod["metadata"]["name"])
        assert again["spec"]["nodeName"] != node
    finally:
        installation.cluster.kubectl("uncordon", node)
    gate.open()
    assert_lost_once(run)


def test_a_lost_node_costs_no_retry(
    installation: Installation, local_cluster: LocalCluster, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    pod = run.pod("ingest")
    name = pod["spec"]["nodeName"]
    node = local_cluster.node(int(name.removeprefix("node")))
    node.stop_kubelet()
    try:
        again = run.pod("ingest", other_than=pod["metadata"]["name"], seconds=90)
        assert again["spec"]["nodeName"] != name
        gate.open()
        assert_lost_once(run)
    finally:
        node.start_kubelet()
        installation.cluster.wait(lambda: local_cluster.ready_nodes()[name], f"{name} is Ready again")


def test_more_losses_than_the_budget_fail_the_try(installation: Installation, waiting: Callable[..., Run]) -> None:
    run = waiting()
    name = ""
    for _ in range(4):
        pod = run.pod("ingest", other_than=name)
        name = pod["metadata"]["name"]
        delete(installation, pod)
    assert run.end() == "failed"
    assert "lost 4 times" in run.log("ingest")


def test_an_out_of_memory_stage_gets_more_up_to_its_cap(installation: Installation) -> None:
    run = installation.start("growing", behaviour={"ingest": "memory"}, megabytes=90)
    assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 1
    log = run.log("ingest")
    assert "OOMKilled: the stage wanted more memory than 32Mi" in log
    assert "started again with 134217728 bytes" in log


def test_an_out_of_memory_stage_without_more_to_get_fails_by_name(installation: Installation) -> None:
    run = installation.start("patient", behaviour={"ingest": "memory"}, megabytes=400)
    assert run.end() == "failed"
    assert run.task("ingest")["try_number"] == 1
    assert "OOMKilled" in run.log("ingest")
    assert "memory_max" in run.log("ingest")


def test_an_image_that_does_not_exist_fails_fast(installation: Installation, local_cluster: LocalCluster) -> None:
    run = installation.start("absent")
    assert run.end() == "failed"
    assert run.task("ingest")["try_number"] == 1
    assert "the pod cannot start: ErrImagePull" in run.log("ingest")
    assert "no/such:1" in run.log("ingest")


def test_an_image_that_may_not_be_pulled_fails_fast(installation: Installation, local_cluster: LocalCluster) -> None:
    with changed(installation, image_pull_policy="Never"):
        run = installation.start("absent")
        assert run.end() == "failed"
    assert "ErrImageNeverPull" in run.log("ingest")


def test_a_secret_that_does_not_exist_fails_fast(installation: Installation) -> None:
    with changed(installation, secrets=["no-such-secret"]):
        run = installation.start("patient")
        assert run.end() == "failed"
    assert run.task("ingest")["try_number"] == 1
    assert 'secret "no-such-secret" not found' in run.log("ingest")


def test_a_gpu_that_is_nowhere_is_told_and_waited_for(installation: Installation, local_cluster: LocalCluster) -> None:
    run = installation.start("gpu")
    run.wait_for_task("ingest", "deferred")
    installation.cluster.wait(lambda: "Insufficient nvidia.com/gpu" in run.log("ingest"), "the scheduler's words")
    local_cluster.give_resource(1, "nvidia.com/gpu", 1)
    try:
        assert run.end() == "success"
    finally:
        local_cluster.give_resource(1, "nvidia.com/gpu", 0)


def test_a_preempted_pod_is_started_again(installation: Installation, local_cluster: LocalCluster, gate: Gate) -> None:
    local_cluster.give_resource(1, "nvidia.com/gpu", 1)
    try:
        run = installation.start("gpu", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        first = run.pod("ingest")["metadata"]["name"]
        installation.cluster.kubectl("apply", "-f", "-", given=URGENT.format(image=image_reference("stage-trivial")))
        run.pod("ingest", phase="Pending", other_than=first)
        installation.cluster.kubectl("delete", "pod", "urgent", "--now")
        run.pod("ingest", other_than=first)
        gate.open()
        assert_lost_once(run)
    finally:
        installation.cluster.kubectl("delete", "pod", "urgent", "--now", "--ignore-not-found")
        local_cluster.give_resource(1, "nvidia.com/gpu", 0)


def test_the_api_server_may_restart(
    installation: Installation, local_cluster: LocalCluster, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    local_cluster.stop_api_server()
    local_cluster.up()
    gate.open()
    assert run.end() == "success"
    assert "Infrastructure loss" not in run.log("ingest")
    assert_once_and_whole(run)


@pytest.mark.parametrize("piece", ["airflow-triggerer", "airflow-scheduler"])
def test_airflows_own_parts_may_be_killed(
    installation: Installation, waiting: Callable[..., Run], gate: Gate, piece: str
) -> None:
    run = waiting()
    pod = run.pod("ingest")
    kill(installation, piece)
    gate.open()
    assert run.end(180) == "success"
    assert run.task("ingest")["try_number"] == 1
    assert pod["metadata"]["name"] in run.log("ingest")
    assert_once_and_whole(run)


def test_a_killed_workers_pod_is_gone_on_with(installation: Installation, gate: Gate) -> None:
    with changed(installation, deferrable=False):
        run = installation.start("patient", behaviour={"ingest": "wait"}, gate_file=gate.uri)
        pod = run.pod("ingest")
        installation.cluster.wait(lambda: bool(lines_of(run.log("ingest"))), "the worker reads the log")
        [worker] = find_task_processes(installation)
        os.kill(worker, signal.SIGKILL)
        installation.cluster.wait(lambda: run.task("ingest")["try_number"] == 2, "the next try")
        installation.cluster.wait(lambda: "is still there; going on with it" in run.log("ingest", 2), "it is found")
        gate.open()
        assert run.end() == "success"
    assert pod["metadata"]["name"] in run.log("ingest", 2)


def test_a_stage_that_was_ended_by_a_signal_is_retried(
    installation: Installation, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting("patient")
    pod = run.pod("ingest")
    installation.cluster.kubectl("-n", NAMESPACE, "exec", pod["metadata"]["name"], "--", "sh", "-c", "kill -TERM 1")
    run.pod("ingest", other_than=pod["metadata"]["name"])
    gate.open()
    assert run.end() == "success"
    assert run.task("ingest")["try_number"] == 2
    assert "stage ingest was lost: killed by SIGTERM" in run.log("ingest", 1)


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_task_that_a_person_ends_takes_its_pod_along(
    installation: Installation, waiting: Callable[..., Run], state: str
) -> None:
    run = waiting()
    installation.api.mark(run.dag_id, run.run_id, "ingest", state)
    installation.wait_until_gone(pipeline="small", stage="ingest")
    run.end()


def test_two_clears_at_once_make_one_pod(installation: Installation, waiting: Callable[..., Run], gate: Gate) -> None:
    run = waiting()
    first = run.pod("ingest")["metadata"]["name"]

    def clear(_: int) -> bool:
        try:
            installation.runtime.api().clear(run.dag_id, run.run_id, "ingest")
        except PermanentError:  # Airflow may refuse the second: a conflict in its database
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert any(pool.map(clear, range(2)))
    run.pod("ingest", other_than=first)
    alive = [pod for pod in installation.pods(pipeline="small") if "deletionTimestamp" not in pod["metadata"]]
    assert len(alive) == 1
    gate.open()
    assert run.end() == "success"


def names_of_pods(run: Run) -> set[str]:
    logs = [run.log(stage) for stage in ("ingest", "train", "register")]
    return {name for log in logs for name in re.findall(rf"\b{run.pipeline}-\S+-1-\d\b", log)}


def test_fused_stages_share_a_pod_and_keep_their_own_logs_and_results(installation: Installation) -> None:
    run = installation.start("fused")
    assert run.end() == "success"
    for stage in ("ingest", "train", "register"):
        assert run.task(stage)["state"] == "success"
        assert [line for line in run.log(stage).splitlines() if line.startswith("fake ")] == [f"fake {stage}: succeed"]
    keys = installation.list_artifacts("fused")
    results = {key.split("/")[-2] for key in keys if key.endswith("/result.json")}
    assert results == {"ingest", "train", "register"}
    assert len(names_of_pods(run)) == 1
    installation.wait_until_gone(pipeline="fused")


def test_a_fused_stage_that_fails_is_retried_from_itself_on(installation: Installation) -> None:
    run = installation.start("fused", behaviour={"train": "transient"})
    assert run.end() == "failed"
    assert (run.task("ingest")["state"], run.task("ingest")["try_number"]) == ("success", 1)
    assert (run.task("train")["state"], run.task("train")["try_number"]) == ("failed", 2)
    assert run.task("register")["state"] == "upstream_failed"
    assert "train failed for a transient reason" in run.log("train", 2)


def test_a_fused_pod_that_is_lost_is_started_again_from_the_stage_that_ran(
    installation: Installation, gate: Gate
) -> None:
    run = installation.start("fused", behaviour={"train": "wait"}, gate_file=gate.uri)
    run.wait_for_task("train", "deferred")
    first = run.pod("ingest")
    delete(installation, first)
    run.pod("train")
    gate.open()
    assert run.end() == "success"
    assert [run.task(stage)["try_number"] for stage in ("ingest", "train", "register")] == [1, 1, 1]
    assert "Infrastructure loss 1 of 3" in run.log("train")


def test_a_fused_stage_that_is_cleared_is_done_again(installation: Installation) -> None:
    run = installation.start("fused")
    assert run.end() == "success"
    before = run.task("ingest")["end_date"]
    installation.api.clear(run.dag_id, run.run_id, "train")
    installation.cluster.wait(lambda: run.task("register")["try_number"] == 2, "register is done again")
    assert run.end() == "success"
    assert run.task("ingest")["end_date"] == before
    assert "fake train: succeed" in run.log("train", 2)


def test_the_janitor_leaves_a_pod_that_somebody_waits_for(
    installation: Installation, waiting: Callable[..., Run], gate: Gate
) -> None:
    run = waiting()
    janitor = installation.api.trigger("airloom__janitor", {})
    assert installation.api.wait_for_run("airloom__janitor", janitor, 60)["state"] == "success"
    run.pod("ingest")
    gate.open()
    assert run.end() == "success"


def kill(installation: Installation, piece: str) -> None:
    """Kill a piece of Airflow with all its children; wait until it runs again."""
    state = installation.runtime.state
    assert state is not None
    pid = state.pieces[piece].pid
    for each in (pid, *processes.descendants(pid)):
        os.kill(each, signal.SIGKILL)

    def is_back() -> bool:
        now = installation.runtime.state
        return now is not None and now.pieces[piece].pid != pid

    installation.cluster.wait(is_back, f"{piece} runs again")


def find_task_processes(installation: Installation) -> list[int]:
    """The processes that run tasks now: below the scheduler's workers."""
    state = installation.runtime.state
    assert state is not None
    below = processes.descendants(state.pieces["airflow-scheduler"].pid)
    return [pid for pid in below if re.match(rb"airflow worker -- [0-9a-f-]{36}", read_command(pid))]


def read_command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
