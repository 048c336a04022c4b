"""Reads what became of a pod from the API server's JSON of it. Pure; the one place that knows the words of Kubernetes.

Sources: Kubernetes docs "Pod Lifecycle" and "Disruptions" (condition `DisruptionTarget` and its reasons), "Pod
Scheduling Readiness" (gates) and "Server-Side Apply" (managedFields); kubelet `pkg/kubelet/images` and `kuberuntime`
(waiting reasons), `pkg/kubelet/eviction/helpers.go` (words of an eviction); Kueue "Plain pods" (TerminationTarget).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airloom.spec.cluster import Limits
from airloom_airflow.pods.pod import CONTAINER

Phase = Literal["queueing", "scheduling", "pulling", "running", "ended"]
Ending = Literal["exited", "out-of-memory", "out-of-disk", "unprepared", "lost", "refused", "overdue"]
"""`out-of-disk`: the stage filled its scratch space. `unprepared`: an init container of the podTemplate failed."""
PERMANENT_ENDINGS: tuple[Ending, ...] = ("out-of-disk", "unprepared", "refused")
"""What would end so again, however often it is tried."""

_HOPELESS = {
    "InvalidImageName": "the image's name is not one",
    "ErrImageNeverPull": "the image is not on the node, and it may not be pulled (image_pull_policy: Never)",
    "CreateContainerConfigError": "a Secret, ConfigMap or volume that the pod names is not there",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be started; has the image the entrypoint of a stage image?",
    "ImageInspectError": "the image is broken",
}
"""Waiting reasons that no waiting mends, unless the kubelet's words are passing ones."""
_PASSING = ("failed to sync", "timed out", "timeout", "deadline exceeded", "connection refused", "connection reset",
            "failed to reserve container name", "unavailable", "unexpected eof", "transport is closing",
            "too many requests", "toomanyrequests")  # fmt: skip
"""Words of the kubelet and its runtime for what they try again, such as "failed to sync secret cache: timed out waiting
for the condition" on a node that has just come, or whose API server is busy."""
_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
_PULL_REFUSALS = ("not found", "notfound", "not exist", "unauthorized", "authentication required", "denied",
                  "forbidden", "no match for platform", "manifest unknown")  # fmt: skip
_LOSS_REASONS = ("Evicted", "NodeLost", "NodeShutdown", "Terminated", "Preempting", "NodeAffinity", "Shutdown",
                 "OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "NodeAllocatable")  # fmt: skip
"""`status.reason` of a pod that its node turned out or away."""
_OWN_DISK = ("local ephemeral storage limit", "exceeds the total limit of containers", "usage of emptydir volume")
"""The kubelet's words where it evicts a pod that went over its own limit; a node short of disk has others."""
_DISRUPTIONS = ("DisruptionTarget", "TerminationTarget")
_GRACE_SECONDS = 15
_DELETED = "the pod was deleted"


@dataclass(frozen=True)
class PodState:
    """Where a pod is on its way.

    Attributes:
        since: when it came there; ISO 8601 as Kubernetes has it.
        started: its container has run, so there is a log.
        ending: how it ended; None while it has not.
        exit_code: of the container, where it exited by itself.
        by_stage: the stage wrote its end into its log; Kubernetes may not know of it yet.
        message: in words, Kubernetes' own where it has some. Of an exited stage: its termination message.
    """

    phase: Phase
    since: str
    started: bool = False
    ending: Ending | None = None
    exit_code: int | None = None
    message: str = ""
    by_stage: bool = False


def read_state(
    pod: Mapping[str, Any] | None, now: datetime, limits: Limits, ungated: datetime | None = None
) -> PodState:
    """Where a pod is, or how it ended.

    Args:
        pod: as the API server has it; None: it is not there any more.
        now: for the limits; aware.
        limits: how long each phase may take.
        ungated: when its scheduling gates were seen to go, by somebody who watched.
    """
    if pod is None:
        return PodState("ended", "", ending="lost", message="the pod is gone; somebody or something deleted it")
    ended = _read_end(pod, now)
    if ended is not None:
        return ended
    state = _read_way(pod, ungated)
    if state.ending is not None:
        return state
    seconds = (now - datetime.fromisoformat(state.since)).total_seconds()
    limit = {
        "queueing": limits.queueing_seconds,
        "scheduling": limits.scheduling_seconds,
        "pulling": limits.pulling_seconds,
        "running": limits.running_seconds,
    }[state.phase]
    if seconds <= limit:
        return state
    words = f"{state.phase} took longer than {limit:g} s (limits.{state.phase}_seconds of the profile)"
    message = f"{words}: {state.message}" if state.message else words
    return PodState(state.phase, state.since, state.started, "overdue", message=message)


def is_gated(pod: Mapping[str, Any]) -> bool:
    """Kueue or another keeps it from being scheduled."""
    return bool(pod.get("spec", {}).get("schedulingGates"))


def find_ungated(pod: Mapping[str, Any]) -> datetime | None:
    """When the gates of a pod went, as far as the pod itself shows it; None: nothing shows that it had any, or when.

    Kubernetes keeps no time for it: the condition PodScheduled stays False from its creation on, and so does its
    lastTransitionTime. But the gates' going changes the spec (`metadata.generation`; Kueue leaves its labels too), and
    whoever let it go has an entry in `managedFields` where it changed anything else, as Kueue does. What was written
    once the pod had its node does not count: its gates had gone by then.
    """
    if is_gated(pod) or not was_gated(pod):
        return None
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    times = [
        datetime.fromisoformat(entry["time"])
        for entry in pod["metadata"].get("managedFields", ())
        if not entry.get("subresource") and entry.get("time")
    ]
    scheduled = _find_scheduled(pod)
    taken = datetime.fromisoformat(scheduled["lastTransitionTime"]) if scheduled.get("status") == "True" else None
    return max((time for time in times if created < time and (taken is None or time <= taken)), default=None)


def was_gated(pod: Mapping[str, Any]) -> bool:
    """The pod shows that it has, or had, scheduling gates."""
    metadata = pod["metadata"]
    kueue = any(name.startswith("kueue.x-k8s.io/") for name in metadata.get("labels", ()))
    return is_gated(pod) or kueue or metadata.get("generation", 1) > 1


def find_end(pod: Mapping[str, Any]) -> datetime | None:
    """When an ended pod ended: when its last container finished, or, of one that its node turned out, when its
    conditions last changed; None: nothing shows it."""
    status = pod.get("status", {})
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    ends = [(each.get("state", {}).get("terminated") or {}).get("finishedAt") for each in containers]
    if not any(ends):
        ends = [each.get("lastTransitionTime") for each in status.get("conditions", ())]
    return max((datetime.fromisoformat(end) for end in ends if end), default=None)


def measure_phases(pod: Mapping[str, Any], now: datetime, ungated: datetime | None = None) -> dict[Phase, float]:
    """How long a pod was in each phase that it has been through or is in, in seconds; a gate that it had counts.

    Args:
        pod: as the API server has it.
        now: end of the phase in which it is.
        ungated: as in `read_state`.
    """
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    state = (_container(pod.get("status", {})) or {}).get("state", {})
    ran = state.get("running") or state.get("terminated") or {}
    scheduled = _find_scheduled(pod)
    ready = ungated or find_ungated(pod)
    marks: list[tuple[Phase, datetime | str | None]] = [
        ("queueing", created if is_gated(pod) or ready else None),
        ("scheduling", None if is_gated(pod) else ready or created),
        ("pulling", scheduled.get("lastTransitionTime") if scheduled.get("status") == "True" else None),
        ("running", ran.get("startedAt")),
    ]
    times = [(phase, datetime.fromisoformat(str(when))) for phase, when in marks if when]
    ends = [*(when for _, when in times[1:]), datetime.fromisoformat(ran.get("finishedAt") or now.isoformat())]
    return {phase: (end - when).total_seconds() for (phase, when), end in zip(times, ends, strict=True)}


def _read_end(pod: Mapping[str, Any], now: datetime) -> PodState | None:
    """The end of a pod whose container has ended, or which is being taken away."""
    status = pod.get("status", {})
    container = _container(status)
    disruption = _find_disruption(status)
    if container and (terminated := container.get("state", {}).get("terminated")):
        return _read_exit(pod, terminated, disruption)
    if status.get("phase") == "Failed":
        if status.get("reason") == "DeadlineExceeded":
            return PodState("ended", "", ending="overdue", message=_read_words(status))
        if own := _read_own_fault(status, disruption):
            return own
        return PodState("ended", "", ending="lost", message=disruption or _read_words(status))
    if status.get("phase") == "Unknown":
        return PodState("ended", "", ending="lost", message="the node does not answer")
    if deleted := pod["metadata"].get("deletionTimestamp"):
        # Deletion is due at `deleted`. A node that lives ends the container by then; one that is lost never does.
        overdue = (now - datetime.fromisoformat(deleted)).total_seconds() > _GRACE_SECONDS
        if overdue or "TaintManager" in disruption:
            return PodState("ended", deleted, bool(container), "lost", message=disruption or _DELETED)
    return None


def _read_exit(pod: Mapping[str, Any], terminated: Mapping[str, Any], disruption: str) -> PodState:
    """The end of a container that was there."""
    status, code = pod["status"], terminated.get("exitCode")
    reported = (terminated.get("message") or "").strip()
    ending: Ending = "exited"
    message = reported
    if terminated.get("reason") == "OOMKilled":
        memory = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory", "its limit")
        ending, message = "out-of-memory", f"OOMKilled: the stage wanted more memory than {memory}"
    elif status.get("reason") == "DeadlineExceeded":
        ending, message = "overdue", _read_words(status)
    elif _filled_disk(status):
        ending, message = "out-of-disk", _explain_disk(status)
    elif terminated.get("reason") == "ContainerStatusUnknown":
        ending, message = "lost", disruption or "its node lost the container"
    elif code != 0 and not reported:  # it was ended from outside, where somebody says so
        if disruption or status.get("reason") in _LOSS_REASONS:
            ending, message = "lost", disruption or _read_words(status)
        elif pod["metadata"].get("deletionTimestamp"):
            ending, message = "lost", _DELETED
    return PodState("ended", terminated.get("finishedAt") or "", True, ending, code, message)


def _read_own_fault(status: Mapping[str, Any], disruption: str) -> PodState | None:
    """The end of a pod whose container never ended by itself, where no infrastructure is to blame."""
    if _filled_disk(status):
        return PodState("ended", "", bool(_container(status)), "out-of-disk", message=_explain_disk(status))
    if disruption or status.get("reason") in _LOSS_REASONS:
        return None
    for each in status.get("initContainerStatuses", ()):
        end = each.get("state", {}).get("terminated") or {}
        if end.get("exitCode", 0) != 0:
            words = ": ".join(filter(None, (end.get("reason"), (end.get("message") or "").strip())))
            message = (
                f"init container {each['name']!r} of the profile's podTemplate failed with exit code {end['exitCode']} "
                f"({words or 'it does not say why'}); mend it, or take it out"
            )
            return PodState("ended", end.get("finishedAt") or "", ending="unprepared", message=message)
    return None


def _filled_disk(status: Mapping[str, Any]) -> bool:
    words = status.get("message", "").lower()
    return status.get("reason") == "Evicted" and any(phrase in words for phrase in _OWN_DISK)


def _explain_disk(status: Mapping[str, Any]) -> str:
    return f"{_read_words(status).strip()} Give the profile more ephemeral_storage, or write less to /tmp"


def _read_way(pod: Mapping[str, Any], ungated: datetime | None) -> PodState:
    """Where a pod is that has not ended."""
    status, created = pod.get("status", {}), pod["metadata"]["creationTimestamp"]
    scheduled = _find_scheduled(pod)
    if is_gated(pod):
        gates = ", ".join(gate["name"] for gate in pod["spec"]["schedulingGates"])
        return PodState("queueing", created, message=f"held by {gates}")
    if scheduled.get("status") != "True" and not pod["spec"].get("nodeName"):
        ready = ungated or find_ungated(pod)
        return PodState("scheduling", ready.isoformat() if ready else created, message=scheduled.get("message", ""))
    since = scheduled.get("lastTransitionTime") or created
    container = _container(status)
    state = container.get("state", {}) if container else {}
    if running := state.get("running"):
        return PodState("running", running["startedAt"], started=True)
    return _read_waiting(status, since)


def _read_waiting(status: Mapping[str, Any], since: str) -> PodState:
    """Where a pod is whose node has it, and whose container does not run yet: the first that waits says why."""
    words = ""
    for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = each.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        own = f"{reason}: {message}" if message else reason
        words = words or own
        if any(phrase in message.lower() for phrase in _PASSING):
            continue
        if reason in _HOPELESS:
            return PodState("pulling", since, ending="refused", message=f"{own} ({_HOPELESS[reason]})")
        if reason in _PULL_REASONS and any(refusal in message.lower() for refusal in _PULL_REFUSALS):
            return PodState("pulling", since, ending="refused", message=own)
    return PodState("pulling", since, message=words)


def _find_scheduled(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition PodScheduled; empty where there is none."""
    conditions = pod.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == "PodScheduled"), {})


def _container(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((each for each in status.get("containerStatuses", ()) if each["name"] == CONTAINER), None)


def _find_disruption(status: Mapping[str, Any]) -> str:
    """Who takes the pod away, in words; empty: nobody."""
    for condition in status.get("conditions", ()):
        if condition["type"] in _DISRUPTIONS and condition["status"] == "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return ""


def _read_words(status: Mapping[str, Any]) -> str:
    words = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return words or "the pod failed, and Kubernetes does not say why"
