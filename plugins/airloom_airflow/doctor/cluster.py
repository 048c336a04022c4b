"""Answers of an API server → diagnoses. Pure.

Refusals are told apart by the words of Kubernetes' own admission plugins (release 1.35: ServiceAccount, Priority,
RuntimeClass, ResourceQuota, PodSecurity, NamespaceLifecycle); a refusal of another kind is told as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.spec.cluster import Cluster, Profile
from airloom.spec.quantity import parse_quantity
from airloom.spec.team import Quota
from airloom_airflow.doctor.reading import Answer
from airloom_airflow.pods.quota import find_excess

RIGHTS = (
    ("create", "pods", ""),
    ("get", "pods", ""),
    ("list", "pods", ""),
    ("watch", "pods", ""),
    ("delete", "pods", ""),
    ("patch", "pods", ""),
    ("get", "pods", "log"),
    ("create", "secrets", ""),
)
"""Verb, resource, subresource: what helm/team-namespace.yaml grants Airflow in a team's namespace."""
TEMPLATE = "helm/team-namespace.yaml"
_SEE = "Run `airloom doctor --kubeconfig PATH` with an account that may."


@dataclass(frozen=True)
class Need:
    """What the stages of one team and one profile ask of a cluster.

    Attributes:
        team: of the pipelines.
        compute: the profile's name.
        stages: those of all its pipelines that name the profile.
        cluster: what holds for these stages, see `Cluster.for_stage`.
        pod: as Airflow would send it.
    """

    team: str
    compute: str
    stages: frozenset[str]
    cluster: Cluster
    profile: Profile
    pod: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def where(self) -> str:
        """Names it in diagnoses."""
        return f"profile {self.compute} of team {self.team}, namespace {self.namespace}"


def check_addresses(need: Need, told: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Whether the servers that stages are told of could be other machines than the pod itself.

    Args:
        told: variable → address as Airflow tells it; the cluster file's `env` goes before it.
    """
    for name, address in {**told, **need.cluster.env}.items():
        if name not in ("AIRLOOM_TRACKING_URI", "AIRLOOM_GATEWAY_URL", "AWS_ENDPOINT_URL", "OPENLINEAGE_URL"):
            continue
        if name == "AIRLOOM_GATEWAY_URL" and "deploy" not in need.stages:
            continue
        parts = urlsplit(address)
        if parts.scheme.startswith("sqlite") or re.match(r"(localhost$|127\.|::1$)", parts.hostname or ""):
            message = f"{name} is {address} in a pod, which is the pod itself"
            remedy = "Give an address that pods reach, in `env` of the cluster file (AIRLOOM_LISTEN for `airloom up`)."
            yield wrong("addresses", need.where, message, remedy)


def explain_connection(answer: Answer, where: str) -> Diagnosis:
    """Of the first question to an API server, its version."""
    if answer.is_success:
        return right("cluster", where, f"Kubernetes {answer.body.get('gitVersion', '')} answers")
    remedy = "See `connection` of the cluster file, and that this machine reaches the address."
    if answer.status in (401, 403):
        remedy = "Renew the credentials that `connection` of the cluster file names."
        return wrong("cluster", where, f"it does not know this account: {answer.status} {answer.message}", remedy)
    return wrong("cluster", where, f"it does not answer: {answer.status or ''} {answer.message}", remedy)


def explain_right(answer: Answer, namespace: str, verb: str, what: str) -> Diagnosis | None:
    """Of one right of Airflow's; None where it is there."""
    place = f"namespace {namespace}"
    if not answer.is_success:
        return unchecked("rights", place, f"whether Airflow may {verb} {what} was not told: {answer.message}", _SEE)
    if answer.body.get("status", {}).get("allowed"):
        return None
    return wrong(
        "rights", place, f"Airflow's account may not {verb} {what}", f"Grant it as the Role in {TEMPLATE} does."
    )


def explain_trial(answer: Answer, need: Need) -> Diagnosis:
    """Of a pod that was sent with `dryRun`."""
    said = answer.message
    if answer.is_success:
        return right("pods", need.where, "a pod of it is taken (tried, not made)")
    if not answer.status or answer.status >= 500 or answer.status in (408, 429):
        return unchecked("pods", need.where, f"a pod could not be tried: {said or answer.status}", "Try again.")
    if answer.status == 404:
        remedy = f"sed s/TEAM/{need.team}/g {TEMPLATE} | kubectl apply -f -"
        return wrong("namespace", need.where, f"there is no namespace {need.namespace}", remedy)
    if found := re.search(r'serviceaccount "([^"]+)" not found', said):
        remedy = f"Make it as {TEMPLATE} does, or mend serviceAccountName in the cluster file."
        return wrong("service account", need.where, f"there is no service account {found[1]}", remedy)
    if found := re.search(r"no PriorityClass with name (\S+) was found", said):
        remedy = "Make it, or mend priorityClassName in the cluster file."
        return wrong("priority class", need.where, f"there is no PriorityClass {found[1]}", remedy)
    if found := re.search(r'RuntimeClass "([^"]+)" not found', said):
        remedy = "Make it, or mend runtimeClassName in the cluster file."
        return wrong("runtime class", need.where, f"there is no RuntimeClass {found[1]}", remedy)
    if "exceeded quota" in said:
        return _explain_quota(said, need)
    if "failed quota" in said:
        remedy = "Give the profile what is named (cpu_limit, ephemeral_storage), or change the quota."
        return wrong("quota", need.where, said, remedy)
    if "violates PodSecurity" in said:
        remedy = "Take out of the profile's podTemplate what it names, or change the namespace's pod-security labels."
        return wrong("pod security", need.where, said, remedy)
    if "cannot create resource" in said:
        return unchecked("pods", need.where, "a pod was not tried: Airflow's account may make none", "See its rights.")
    return wrong("pods", need.where, f"a pod of it is refused: {answer.status} {said}", "See the profile's fields.")


def _explain_quota(said: str, need: Need) -> Diagnosis:
    if excess := find_excess(said, of_zero=True):
        return wrong("quota", need.where, excess, "Ask for less in the profile, or raise the quota.")
    remedy = "Nothing, if it empties: stages wait for room. Else raise the quota."
    return unchecked("quota", need.where, f"one pod fits into the quota, which is full now: {said}", remedy)


def list_rights(needs: Iterable[Need], *, keeps: bool) -> list[tuple[str, str, str]]:
    """Of `RIGHTS`, those that are used in a namespace.

    Args:
        needs: of stages that run there.
        keeps: failed pods are kept for a look.
    """
    secrets = any(need.cluster.list_airflow_secrets(need.team) for need in needs)
    unused = {("create", "secrets", ""): not secrets, ("patch", "pods", ""): not (secrets or keeps)}
    return [each for each in RIGHTS if not unused.get(each)]


def explain_team_quota(answer: Answer, need: Need, quota: Quota) -> Diagnosis:
    """Of the list of a namespace's ResourceQuotas: whether they are what the cluster file says of the team."""
    place = f"team {need.team}, namespace {need.namespace}"
    if not answer.is_success:
        words = f"whether its quota is that of the cluster file was not told: {answer.message}"
        return unchecked("quota", place, words, _SEE)
    found: dict[str, str] = {}
    whole = [each for each in answer.body.get("items", []) if not {"scopes", "scopeSelector"} & {*each["spec"]}]
    for each in whole:  # one with scopes is of some pods only
        for resource, limit in each["spec"].get("hard", {}).items():
            resource = f"requests.{resource}" if resource in ("cpu", "memory") else resource  # Kubernetes' short names
            if resource not in found or parse_quantity(limit) < parse_quantity(found[resource]):
                found[resource] = limit
    amiss = [
        f"{resource} is {limit} in the cluster file, and {found.get(resource, 'without a limit')} in the cluster"
        for resource, limit in quota.hard.items()
        if resource not in found or parse_quantity(found[resource]) != parse_quantity(limit)
    ]
    if not amiss:
        return right("quota", place, "the namespace's quota is that of the cluster file")
    return wrong("quota", place, "; ".join(amiss), _build_quota_command(need.namespace, quota, whole))


def _build_quota_command(namespace: str, quota: Quota, there: list[Mapping[str, Any]]) -> str:
    if there:
        patch = json.dumps({"spec": {"hard": quota.hard}})
        name = there[0]["metadata"]["name"]
        return f"kubectl -n {namespace} patch resourcequota {name} --type merge -p '{patch}'"
    hard = ",".join(f"{resource}={limit}" for resource, limit in quota.hard.items())
    return f"kubectl -n {namespace} create quota airloom --hard={hard}"


def explain_object(answer: Answer, need: Need, kind: str, name: str) -> Diagnosis:
    """Of something that a profile or the installation names."""
    if answer.is_success:
        return right(kind, need.where, f"{kind} {name} is there")
    if answer.status == 404:
        remedy = f"Make it in namespace {need.namespace}, or mend the name in the cluster file."
        return wrong(kind, need.where, f"there is no {kind} {name}", remedy)
    return unchecked(kind, need.where, f"whether there is a {kind} {name} was not told: {answer.message}", _SEE)


def explain_nodes(answer: Answer, need: Need) -> Iterator[Diagnosis]:
    """Whether a node that there is now could ever take the pod."""
    if not answer.is_success:
        yield unchecked("nodes", need.where, f"nodes could not be listed: {answer.message}", _SEE)
        return
    trouble = find_node_trouble(answer.body.get("items", []), need.pod["spec"])
    if trouble is None:
        yield right("nodes", need.where, "there is a node that could take a pod of it")
    elif need.cluster.provider == "generic":
        remedy = "Label or add nodes, or mend the profile (node_pool, capacity, gpu, cpu, memory, nodeSelector)."
        yield wrong("nodes", need.where, trouble, remedy)
    else:
        remedy = f"See that {need.cluster.provider}'s autoscaler has a pool that brings one."
        yield unchecked("nodes", need.where, f"{trouble}; an autoscaler may bring one", remedy)


def find_node_trouble(nodes: Iterable[Mapping[str, Any]], spec: Mapping[str, Any]) -> str | None:
    """Why no node could take a pod, if all were empty; None where one could."""
    left = list(nodes)
    for label, value in spec.get("nodeSelector", {}).items():
        left = [node for node in left if _labels(node).get(label) == value]
        if not left:
            return f"no node has the label {label}={value} (beside the pod's other labels)"
    required = (
        spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    if terms := required.get("nodeSelectorTerms"):
        left = [node for node in left if any(_fits(_labels(node), term) for term in terms)]
        if not left:
            return "no node fits the pod's node affinity"
    left = [node for node in left if not _repels(node, spec.get("tolerations", []))]
    if not left:
        return "every node that fits has a taint that the pod does not tolerate, or is cordoned"
    for resource, asked in _requests(spec).items():
        most = max(
            (parse_quantity(node["status"]["allocatable"].get(resource, "0")) for node in left), default=Decimal(0)
        )
        left = [
            node
            for node in left
            if parse_quantity(node["status"]["allocatable"].get(resource, "0")) >= parse_quantity(asked)
        ]
        if not left:
            return f"the pod asks for {resource}: {asked}, and the most that a node that fits has is {most:f}"
    return None


def _labels(node: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = node["metadata"].get("labels", {})
    return labels


def _requests(spec: Mapping[str, Any]) -> dict[str, str]:
    """Of the pod's first container, the stage; what has a limit alone is requested by it."""
    resources = spec["containers"][0].get("resources", {})
    return {**resources.get("limits", {}), **resources.get("requests", {})}


def _fits(labels: Mapping[str, str], term: Mapping[str, Any]) -> bool:
    """One term of node affinity; its operators as Kubernetes' API reference has them."""
    for expression in term.get("matchExpressions", ()):
        value, values = labels.get(expression["key"]), expression.get("values", [])
        fits = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
            "Gt": value is not None and bool(values) and value.isdigit() and int(value) > int(values[0]),
            "Lt": value is not None and bool(values) and value.isdigit() and int(value) < int(values[0]),
        }
        if not fits[expression["operator"]]:
            return False
    return True


def _repels(node: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    spec = node.get("spec", {})
    taints = [taint for taint in spec.get("taints", ()) if taint["effect"] in ("NoSchedule", "NoExecute")]
    return bool(spec.get("unschedulable")) or any(
        not any(_tolerates(toleration, taint) for toleration in tolerations) for taint in taints
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, taint["key"])
    return bool(toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))
