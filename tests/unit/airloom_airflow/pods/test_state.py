"""What the words of Kubernetes mean. The pods are as the API server of 1.35 told them, without what is not read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airloom.spec.cluster import Limits
from airloom_airflow.pods.state import PodState, read_state

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits(scheduling_seconds=600, pulling_seconds=60, running_seconds=3600)


def build_pod(
    container: dict[str, Any] | None = None,
    created: str = "2026-11-23T11:59:00Z",
    node: str | None = "node1",
    deleted: str | None = None,
    gates: tuple[str, ...] = (),
    scheduled: dict[str, Any] | None = None,
    disruption: tuple[str, str] | None = None,
    **status: Any,
) -> dict[str, Any]:
    conditions = [scheduled or {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T11:59:30Z"}]
    if disruption:
        reason, message = disruption
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message})
    return {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": created}
        | ({"deletionTimestamp": deleted} if deleted else {}),
        "spec": {
            "containers": [{"resources": {"limits": {"memory": "64Mi"}}}],
            **({"nodeName": node} if node else {}),
            **({"schedulingGates": [{"name": gate} for gate in gates]} if gates else {}),
        },
        "status": {
            "conditions": conditions,
            **({"containerStatuses": [{"name": "stage", "state": container}]} if container else {}),
            **status,
        },
    }


def read(pod: dict[str, Any] | None) -> PodState:
    return read_state(pod, NOW, LIMITS)


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {
        "terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": "2026-11-23T11:59:59Z"}
    }


def test_a_pod_on_its_way_is_told_phase_by_phase() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    gated = read(build_pod(node=None, gates=("kueue.x-k8s.io/admission",)))
    assert (gated.phase, gated.message) == ("queueing", "held by kueue.x-k8s.io/admission")
    waiting = read(build_pod(node=None, scheduled=unscheduled))
    assert (waiting.phase, waiting.message, waiting.ending) == ("scheduling", "0/2 nodes are available", None)
    assert read(build_pod({"waiting": {"reason": "ContainerCreating"}})).phase == "pulling"
    running = read(build_pod({"running": {"startedAt": "2026-11-23T11:59:40Z"}}))
    assert (running.phase, running.started, running.ending) == ("running", True, None)


@pytest.mark.parametrize(
    ("pod", "limit", "words"),
    [
        (
            build_pod(
                node=None,
                created="2026-11-23T11:00:00Z",
                scheduled={"type": "PodScheduled", "status": "False", "message": "Insufficient nvidia.com/gpu"},
            ),
            "limits.scheduling_seconds",
            "Insufficient nvidia.com/gpu",
        ),
        (
            build_pod(
                {"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}},
                scheduled={"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T11:50:00Z"},
            ),
            "limits.pulling_seconds",
            "i/o timeout",
        ),
        (build_pod({"running": {"startedAt": "2026-11-23T10:00:00Z"}}), "limits.running_seconds", "3600 s"),
    ],
)
def test_each_limit_is_told_by_its_name(pod: dict[str, Any], limit: str, words: str) -> None:
    state = read(pod)
    assert state.ending == "overdue"
    assert limit in state.message
    assert words in state.message


def test_an_exit_carries_its_code_and_its_termination_message() -> None:
    state = read(build_pod(terminated(65, message='{"x": 1}\n'), phase="Failed"))
    assert (state.ending, state.exit_code, state.message) == ("exited", 65, '{"x": 1}')


def test_out_of_memory_is_told_by_name() -> None:
    state = read(build_pod(terminated(137, "OOMKilled"), phase="Failed"))
    assert state.ending == "out-of-memory"
    assert state.message == "OOMKilled: the stage wanted more memory than 64Mi"


@pytest.mark.parametrize(
    "pod",
    [
        None,
        build_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
        build_pod(phase="Failed", reason="NodeLost"),
        build_pod(phase="Unknown"),
        build_pod(terminated(143), disruption=("EvictionByEvictionAPI", "Eviction API: evicting"), phase="Failed"),
        build_pod(terminated(137), disruption=("PreemptionByScheduler", "by a higher priority"), phase="Failed"),
        build_pod(terminated(143), deleted="2026-11-23T12:00:10Z"),
        build_pod(terminated(137, "ContainerStatusUnknown"), phase="Failed"),
        build_pod(
            {"running": {"startedAt": "2026-11-23T11:59:40Z"}},
            deleted="2026-11-23T12:00:20Z",
            disruption=("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
        ),
        build_pod({"running": {"startedAt": "2026-11-23T11:59:40Z"}}, deleted="2026-11-23T11:59:00Z"),
    ],
)
def test_what_the_infrastructure_did_is_a_loss(pod: dict[str, Any] | None) -> None:
    assert read(pod).ending == "lost"


def test_a_stage_that_answered_is_believed_though_its_node_was_drained() -> None:
    pod = build_pod(terminated(0, "Completed", '{"status": "succeeded"}'), disruption=("EvictionByEvictionAPI", "x"))
    assert read(pod).ending == "exited"


def test_a_stage_killed_by_itself_is_no_loss_of_the_infrastructure() -> None:
    state = read(build_pod(terminated(143), phase="Failed"))
    assert (state.ending, state.exit_code) == ("exited", 143)


def test_a_pod_that_is_being_deleted_still_has_its_time() -> None:
    pod = build_pod({"running": {"startedAt": "2026-11-23T11:59:40Z"}}, deleted="2026-11-23T12:00:20Z")
    assert read(pod).ending is None


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("InvalidImageName", "couldn't parse image name"),
        ("ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never'),
        ("CreateContainerConfigError", 'secret "s3" not found'),
        ("ErrImagePull", 'failed to resolve reference "docker.io/no/such:1": not found'),
        ("ImagePullBackOff", "pull access denied, repository does not exist or may require authorization"),
    ],
)
def test_what_no_waiting_mends_fails_at_once(reason: str, message: str) -> None:
    state = read(build_pod({"waiting": {"reason": reason, "message": message}}))
    assert state.ending == "refused"
    assert message in state.message


def test_a_registry_that_is_away_is_waited_for() -> None:
    assert read(build_pod({"waiting": {"reason": "ImagePullBackOff", "message": "connection refused"}})).ending is None
