"""What the words of Kubernetes mean. The pods are as the API server of 1.35 told them, without what is not read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airloom.spec.cluster import Limits
from airloom_airflow.pods.state import PERMANENT_ENDINGS, PodState, find_ungated, measure_phases, read_state

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
    metadata: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    conditions = [scheduled or {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T11:59:30Z"}]
    if disruption:
        reason, message = disruption
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message})
    return {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": created, **(metadata or {})}
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


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/2 nodes are available",
    "lastTransitionTime": "2026-11-23T08:00:00Z",  # of its creation: the status was False all the while
}
KUEUE = {"kueue.x-k8s.io/queue-name": "gpu", "kueue.x-k8s.io/managed": "true"}


def admitted(written: str | None, **metadata: Any) -> dict[str, Any]:
    """A pod that was made at 08:00, held, and let go; `written`: when its spec was last changed."""
    fields = [
        {"manager": "OpenAPI-Generator", "operation": "Update", "time": "2026-11-23T08:00:00Z"},
        {"manager": "kube-scheduler", "operation": "Update", "subresource": "status", "time": "2026-11-23T11:59:50Z"},
    ]
    if written:
        fields.append({"manager": "kueue", "operation": "Update", "time": written})
    metadata = {"managedFields": fields, **metadata}
    return build_pod(node=None, created="2026-11-23T08:00:00Z", scheduled=UNSCHEDULABLE, metadata=metadata)


def test_scheduling_counts_from_when_the_gate_went_and_not_from_the_pods_creation() -> None:
    pod = admitted("2026-11-23T11:55:00Z", labels=KUEUE)
    state = read(pod)
    assert (state.phase, state.ending, state.since) == ("scheduling", None, "2026-11-23T11:55:00+00:00")


def test_a_pod_let_go_long_ago_is_given_up() -> None:
    assert read(admitted("2026-11-23T11:40:00Z", generation=2)).ending == "overdue"


def test_what_is_written_to_a_pod_that_has_its_node_is_not_the_gates_going() -> None:
    """As an operator marks a pod that another try of its task goes on with."""
    fields = [{"manager": "kueue", "time": "2026-11-23T11:59:20Z"}, {"manager": "us", "time": "2026-11-23T11:59:45Z"}]
    pod = build_pod(
        {"running": {"startedAt": "2026-11-23T11:59:40Z"}}, metadata={"generation": 2, "managedFields": fields}
    )
    assert measure_phases(pod, NOW) == {"queueing": 20, "scheduling": 10, "pulling": 10, "running": 20}
    pod["metadata"]["managedFields"] = fields[1:]
    assert measure_phases(pod, NOW) == {"scheduling": 30, "pulling": 10, "running": 20}


def test_what_the_watcher_saw_counts_before_what_the_pod_shows() -> None:
    seen = datetime(2026, 11, 23, 11, 58, tzinfo=UTC)
    state = read_state(admitted(None, generation=2), NOW, LIMITS, seen)
    assert (state.ending, state.since) == (None, seen.isoformat())


def test_a_pod_that_was_never_held_counts_from_its_creation_whoever_writes_to_it() -> None:
    pod = admitted("2026-11-23T11:55:00Z", generation=1)
    assert find_ungated(pod) is None
    assert read(pod).ending == "overdue"


def test_the_phases_of_a_pod_are_measured_each() -> None:
    pod = build_pod(
        {"terminated": {"exitCode": 0, "startedAt": "2026-11-23T11:59:40Z", "finishedAt": "2026-11-23T11:59:55Z"}},
        created="2026-11-23T11:50:00Z",
        metadata={"generation": 2, "managedFields": [{"manager": "kueue", "time": "2026-11-23T11:59:00Z"}]},
    )
    assert measure_phases(pod, NOW) == {"queueing": 540, "scheduling": 30, "pulling": 10, "running": 15}
    assert measure_phases(build_pod(node=None, gates=("x",), scheduled=UNSCHEDULABLE), NOW) == {"queueing": 60}


@pytest.mark.parametrize(
    "words",
    [
        'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        'Container stage exceeded its local ephemeral storage limit "1Gi". ',
    ],
)
@pytest.mark.parametrize("container", [None, terminated(137), terminated(137, "ContainerStatusUnknown")])
def test_a_stage_that_fills_its_disk_is_no_loss_of_the_infrastructure(
    words: str, container: dict[str, Any] | None
) -> None:
    state = read(build_pod(container, phase="Failed", reason="Evicted", message=words))
    assert state.ending == "out-of-disk"
    assert state.ending in PERMANENT_ENDINGS
    assert words.strip() in state.message
    assert "ephemeral_storage" in state.message


def test_a_node_short_of_disk_is_a_loss() -> None:
    words = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 900Mi. "
    assert read(build_pod(terminated(137), phase="Failed", reason="Evicted", message=words)).ending == "lost"


def init_pod(end: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {"containerStatuses": [{"name": "stage", "state": {"waiting": {"reason": "PodInitializing"}}}]}
    return build_pod(initContainerStatuses=[{"name": "fetch", "state": end}], **own, **more)


def test_a_failed_init_container_is_no_loss_and_is_named() -> None:
    state = read(init_pod(terminated(2, message="no such bucket"), phase="Failed"))
    assert state.ending == "unprepared"
    assert state.ending in PERMANENT_ENDINGS
    assert "init container 'fetch'" in state.message
    assert "exit code 2 (Error: no such bucket)" in state.message


def test_an_init_container_ended_by_a_drain_is_a_loss() -> None:
    drained = init_pod(terminated(143), phase="Failed", disruption=("EvictionByEvictionAPI", "Eviction API: evicting"))
    assert read(drained).ending == "lost"


def test_an_init_container_whose_image_is_refused_fails_at_once() -> None:
    state = read(init_pod({"waiting": {"reason": "ErrImagePull", "message": "fetch:1: not found"}}))
    assert (state.ending, state.message) == ("refused", "ErrImagePull: fetch:1: not found")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),
        ("CreateContainerError", "context deadline exceeded"),
        ("CreateContainerError", 'failed to reserve container name "stage_x": name is reserved for "abc"'),
        ("RunContainerError", "rpc error: code = Unavailable desc = transport is closing"),
        ("ErrImagePull", "denied: toomanyrequests: You have reached your pull rate limit"),
    ],
)
def test_passing_words_of_the_kubelet_are_waited_for_within_the_limit(reason: str, message: str) -> None:
    container = {"waiting": {"reason": reason, "message": message}}
    assert read(build_pod(container)).ending is None
    long_ago = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-23T11:50:00Z"}
    state = read(build_pod(container, scheduled=long_ago))
    assert state.ending == "overdue"
    assert "limits.pulling_seconds" in state.message
    assert message in state.message
