"""Reads what became of a pod from the API server's JSON of it. Pure; the one place that knows the words of Kubernetes.

Sources: Kubernetes docs "Pod Lifecycle" and "Disruptions" (condition `DisruptionTarget` and its reasons), kubelet
`pkg/kubelet/images` and `kuberuntime` (waiting reasons), Kueue "Plain pods" (scheduling gate, TerminationTarget).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airloom.spec.cluster import Limits
from airloom_airflow.pods.pod import CONTAINER

Phase = Literal["queueing", "scheduling", "pulling", "running", "ended"]
Ending = Literal["exited", "out-of-memory", "lost", "refused", "overdue"]

_HOPELESS = {
    "InvalidImageName": "the image's name is not one",
    "ErrImageNeverPull": "the image is not on the node, and it may not be pulled (image_pull_policy: Never)",
    "CreateContainerConfigError": "a Secret, ConfigMap or volume that the pod names is not there",
    "CreateContainerError": "the container cannot be made",
    "RunContainerError": "the container cannot be started; has the image the entrypoint of a stage image?",
    "ImageInspectError": "the image is broken",
}
"""Waiting reasons that no waiting mends."""
_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
_PULL_REFUSALS = ("not found", "notfound", "not exist", "unauthorized", "authentication required", "denied",
                  "forbidden", "no match for platform", "manifest unknown")  # fmt: skip
_LOSS_REASONS = ("Evicted", "NodeLost", "NodeShutdown", "Terminated", "Preempting", "NodeAffinity", "Shutdown",
                 "OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "NodeAllocatable")  # fmt: skip
"""`status.reason` of a pod that its node turned out or away."""
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
        by_stage: the stage told its end itself, in its log; Kubernetes may not have told it yet.
        message: in words, Kubernetes' own where it has some. Of an exited stage: its termination message.
    """

    phase: Phase
    since: str
    started: bool = False
    ending: Ending | None = None
    exit_code: int | None = None
    message: str = ""
    by_stage: bool = False


def read_state(pod: Mapping[str, Any] | None, now: datetime, limits: Limits) -> PodState:
    """Judge a pod.

    Args:
        pod: as the API server tells it; None: it is not there any more.
        now: for the limits; aware.
        limits: how long each phase may take.
    """
    if pod is None:
        return PodState("ended", "", ending="lost", message="the pod is gone; somebody or something deleted it")
    ended = _read_end(pod, now)
    if ended is not None:
        return ended
    state = _read_way(pod)
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
    told = f"{words}: {state.message}" if state.message else words
    return PodState(state.phase, state.since, state.started, "overdue", message=told)


def _read_end(pod: Mapping[str, Any], now: datetime) -> PodState | None:
    """The end of a pod whose container has ended, or which is being taken away."""
    status = pod.get("status", {})
    container = _container(status)
    disruption = _find_disruption(status)
    if container and (terminated := container.get("state", {}).get("terminated")):
        return _read_exit(pod, terminated, disruption)
    if status.get("phase") == "Failed":
        if status.get("reason") == "DeadlineExceeded":
            return PodState("ended", "", ending="overdue", message=_tell_status(status))
        return PodState("ended", "", ending="lost", message=disruption or _tell_status(status))
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
        ending, message = "overdue", _tell_status(status)
    elif terminated.get("reason") == "ContainerStatusUnknown":
        ending, message = "lost", disruption or "its node lost the container"
    elif code != 0 and not reported:  # it was ended from outside, where somebody says so
        if disruption or status.get("reason") in _LOSS_REASONS:
            ending, message = "lost", disruption or _tell_status(status)
        elif pod["metadata"].get("deletionTimestamp"):
            ending, message = "lost", _DELETED
    return PodState("ended", terminated.get("finishedAt") or "", True, ending, code, message)


def _read_way(pod: Mapping[str, Any]) -> PodState:
    """Where a pod is that has not ended."""
    status, created = pod.get("status", {}), pod["metadata"]["creationTimestamp"]
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    scheduled = conditions.get("PodScheduled", {})
    if pod["spec"].get("schedulingGates"):
        gates = ", ".join(gate["name"] for gate in pod["spec"]["schedulingGates"])
        return PodState("queueing", created, message=f"held by {gates}")
    if scheduled.get("status") != "True" and not pod["spec"].get("nodeName"):
        return PodState("scheduling", created, message=scheduled.get("message", ""))
    since = scheduled.get("lastTransitionTime") or created
    container = _container(status)
    state = container.get("state", {}) if container else {}
    if running := state.get("running"):
        return PodState("running", running["startedAt"], started=True)
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    words = f"{reason}: {message}" if message else reason
    if reason in _HOPELESS:
        return PodState("pulling", since, ending="refused", message=f"{words} ({_HOPELESS[reason]})")
    if reason in _PULL_REASONS and any(refusal in message.lower() for refusal in _PULL_REFUSALS):
        return PodState("pulling", since, ending="refused", message=words)
    return PodState("pulling", since, message=words)


def _container(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((each for each in status.get("containerStatuses", ()) if each["name"] == CONTAINER), None)


def _find_disruption(status: Mapping[str, Any]) -> str:
    """Who takes the pod away, in words; empty: nobody."""
    for condition in status.get("conditions", ()):
        if condition["type"] in _DISRUPTIONS and condition["status"] == "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return ""


def _tell_status(status: Mapping[str, Any]) -> str:
    words = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return words or "the pod failed, and Kubernetes does not say why"
