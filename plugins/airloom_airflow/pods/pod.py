"""Builds the pod of a stage: from a profile and a request to a manifest. Pure.

Pods are `restricted` in the sense of Kubernetes' Pod Security Standards: non-root, seccomp RuntimeDefault, no
capabilities, a read-only root, and no token of Kubernetes' API. What a stage may write is `/tmp`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airloom.errors import ConfigError
from airloom.protocol.launch import build_environ
from airloom.spec.cluster import Cluster, Profile
from airloom.spec.quantity import parse_quantity
from airloom.spec.team import build_masked_variables
from airloom_airflow.pods.providers import Capacity, Placement, build_identity_labels, build_placement

CONTAINER = "stage"
MANAGED_BY = "app.kubernetes.io/managed-by"
SELECTOR = f"{MANAGED_BY}=airloom"
"""Finds every pod of every installation in a namespace; see `build_selector`."""
INSTALLATION_LABEL = "airloom.io/installation"
"""Whose pod it is, where installations share a namespace: nobody touches another's."""
TASK_LABEL = "airloom.io/task"
"""Digest of installation, DAG, run, task and map index: the same for all tries of a task."""
GROUP_LABEL = "airloom.io/group"
"""Digest of installation, DAG and run: the same for all stages that may share a pod."""
KEPT_LABEL = "airloom.io/kept"
"""On a failed pod that is kept for a look: nobody goes on with it."""
DAG_ANNOTATION = "airloom.io/dag-id"
RUN_ANNOTATION = "airloom.io/run-id"
MAP_INDEX_ANNOTATION = "airloom.io/map-index"
TASK_ANNOTATION = "airloom.io/task-id"
MAX_TRIES_ANNOTATION = "airloom.io/max-tries-"
"""And a stage's name: Airflow's bound of tries when a try of the stage made the pod, or began to wait for it: a clear
raises it, a retry does not."""
HOLDER_ANNOTATION = "airloom.io/held-by-"
"""And a stage's name, on a pod that another try or task has made: which try of the stage waits for it now."""
STAGES_ANNOTATION = "airloom.io/stages"
"""The tasks whose stages run in the pod, in their order: a task's id is its stage's name in a pipeline's own DAGs."""
SECRET_ANNOTATION = "airloom.io/secret"
"""On a pod with secrets of Airflow's: the Kubernetes Secret, owned by the pod, that has their values."""
SECRET_GATE = "airloom.io/secret"
"""Scheduling gate of such a pod, until that Secret is there: so it has an owner from its beginning, and goes with it.
Airflow may not list Secrets, so nobody could tidy up one that a dying process left without."""
TASK_INSTANCE_LABEL = "airloom.io/task-instance"
"""Airflow's id of one try."""
TERMINATION_LOG = "/dev/termination-log"
USER = 65532
_CONTEXT_LIMIT_BYTES = 120_000
"""Linux takes no longer variable than 128 KiB."""
_NODE_TERMS: tuple[str, ...] = ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
_CONTAINERS = ("containers", "initContainers")
_KEYS = {"volumeMounts": "mountPath", "volumeDevices": "devicePath"}
"""What tells the members of a list apart, where it is not their name: a volume may be mounted twice."""


@dataclass(frozen=True)
class PodRequest:
    """One pod for one try of a task.

    Attributes:
        installation: see `airloom.settings.Settings`.
        task_ids: of the tasks whose stages run in the pod one after the other, where they are more than one.
        launch: how many pods this try has had before.
        max_tries: see `MAX_TRIES_ANNOTATION`.
        attempt: see `airloom_airflow.operators.attempt`; no two pods have the same.
        arguments: of `python -m airloom.stages`, which is the image's entrypoint.
        environ: variables beside the installation's.
        memory: in place of the profile's.
        capacity: in place of the profile's.
    """

    installation: str
    team: str
    pipeline: str
    stage: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    task_instance: str
    arguments: tuple[str, ...]
    max_tries: int = 0
    attempt: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    task_ids: tuple[str, ...] = ()
    launch: int = 0
    memory: str | None = None
    capacity: Capacity | None = None

    @property
    def task(self) -> str:
        """See `TASK_LABEL`."""
        return _digest(self.installation, self.dag_id, self.run_id, self.task_id, str(self.map_index))

    @property
    def group(self) -> str:
        """See `GROUP_LABEL`."""
        return digest_group(self.installation, self.dag_id, self.run_id)

    @property
    def name(self) -> str:
        """The pod's: the same request always has the same, so that it is made once."""
        words = re.sub(r"[^a-z0-9]+", "-", f"{self.pipeline}-{self.stage}".lower()).strip("-")[:36].rstrip("-")
        return f"{words}-{self.task[:12]}-{self.try_number}-{self.launch}"

    @property
    def secret_name(self) -> str:
        """Its Secret's: of a name of its own, since that of a former pod with this name may still be about to go."""
        return f"{self.name}-{self.attempt}"


def digest_group(installation: str, dag_id: str, run_id: str) -> str:
    """The value of `GROUP_LABEL`."""
    return _digest(installation, dag_id, run_id)


def build_selector(installation: str) -> str:
    """Finds the pods of one installation."""
    return f"{SELECTOR},{INSTALLATION_LABEL}={installation}"


def _digest(*identity: str) -> str:
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]


def build_pod(cluster: Cluster, profile: Profile, request: PodRequest) -> dict[str, Any]:
    """The manifest.

    Errors:
        ConfigError: the context is too large, no image is named, or the profile's own nodeSelector contradicts its
            node_pool, capacity or gpu.
    """
    placement = build_placement(cluster.provider, profile.node_pool, request.capacity or profile.capacity, profile.gpu)
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _build_metadata(cluster, profile, request),
        "spec": _drop_empty(
            {
                "restartPolicy": "Never",
                "containers": [_build_container(cluster, profile, request, placement)],
                "volumes": _build_volumes(profile),
                "nodeSelector": {**placement.selector, **profile.nodeSelector},
                "affinity": profile.affinity,
                "tolerations": [*_tolerate_losses(profile), *placement.tolerations, *profile.tolerations],
                "runtimeClassName": profile.runtimeClassName,
                "priorityClassName": profile.priorityClassName,
                "serviceAccountName": profile.serviceAccountName or cluster.serviceAccountName,
                "automountServiceAccountToken": cluster.mount_api_token,
                "enableServiceLinks": False,
                "imagePullSecrets": [{"name": name} for name in profile.imagePullSecrets],
                "resourceClaims": [dict(claim) for claim in profile.resourceClaims],
                "schedulingGates": [{"name": SECRET_GATE}] if cluster.list_airflow_secrets(request.team) else [],
                # Kubernetes counts from the kubelet's acceptance, so pulling is in it; ours are told by name before.
                "activeDeadlineSeconds": math.ceil(
                    profile.limits.running_seconds * max(1, len(request.task_ids)) + profile.limits.pulling_seconds + 60
                ),
                "terminationGracePeriodSeconds": 30,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ),
    }
    return _require_nodes(_merge(manifest, profile.podTemplate), placement)


def raise_memory(profile: Profile, given: str) -> str | None:
    """What a stage gets after `given` was too little; None where it cannot have more."""
    if profile.memory_max is None or parse_quantity(given) >= parse_quantity(profile.memory_max):
        return None
    doubled = min(2 * parse_quantity(given), parse_quantity(profile.memory_max))
    return str(int(doubled))


def _build_metadata(cluster: Cluster, profile: Profile, request: PodRequest) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/name": "airloom-stage",
        MANAGED_BY: "airloom",
        INSTALLATION_LABEL: request.installation,
        "airloom.io/team": request.team,
        "airloom.io/pipeline": request.pipeline,
        "airloom.io/stage": request.stage,
        TASK_LABEL: request.task,
        GROUP_LABEL: request.group,
        TASK_INSTANCE_LABEL: request.task_instance,
    }
    if cluster.workload_identity:
        labels.update(build_identity_labels(cluster.provider))
    if profile.queue:
        labels["kueue.x-k8s.io/queue-name"] = profile.queue
    return {
        "name": request.name,
        "namespace": cluster.find_namespace(request.team),
        "labels": labels,
        "annotations": {
            DAG_ANNOTATION: request.dag_id,
            RUN_ANNOTATION: request.run_id,
            TASK_ANNOTATION: request.task_id,
            MAP_INDEX_ANNOTATION: str(request.map_index),
            "airloom.io/try-number": str(request.try_number),
            MAX_TRIES_ANNOTATION + request.stage: str(request.max_tries),
            STAGES_ANNOTATION: " ".join(request.task_ids or (request.task_id,)),
            **({SECRET_ANNOTATION: request.secret_name} if cluster.list_airflow_secrets(request.team) else {}),
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        },
    }


def _build_container(cluster: Cluster, profile: Profile, request: PodRequest, placement: Placement) -> dict[str, Any]:
    own = {"HOME": "/tmp", "AIRLOOM_HOME": "/tmp/airloom"}  # the pod's
    secrets = cluster.list_airflow_secrets(request.team)
    environ = {
        **build_environ(own, cpu_threads=max(1, math.ceil(parse_quantity(profile.cpu)))),
        **request.environ,
        **cluster.env,
        **build_masked_variables(secrets),
    }
    for secret in secrets:
        environ.pop(secret.name, None)
    for name, value in environ.items():
        if len(value.encode()) > _CONTEXT_LIMIT_BYTES:
            raise ConfigError(
                f"{name} of stage {request.stage} has {len(value.encode())} bytes, and a variable holds "
                f"{_CONTEXT_LIMIT_BYTES}; make the pipeline file smaller"
            )
    requests: dict[str, str] = {"cpu": profile.cpu, "memory": request.memory or profile.memory}
    limits: dict[str, str] = {"memory": request.memory or profile.memory}
    if profile.cpu_limit:
        limits["cpu"] = profile.cpu_limit
    if profile.ephemeral_storage:
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = profile.ephemeral_storage
    for resource, count in placement.resources.items():
        requests[resource] = limits[resource] = str(count)
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    if profile.shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})
    return _drop_empty(
        {
            "name": CONTAINER,
            "image": cluster.image(profile),
            "imagePullPolicy": cluster.image_pull_policy,
            "args": list(request.arguments),
            "env": [
                *({"name": name, "value": value} for name, value in environ.items()),
                *(
                    {
                        "name": secret.name,
                        "valueFrom": {"secretKeyRef": {"name": request.secret_name, "key": secret.name}},
                    }
                    for secret in secrets
                ),
                {"name": "AIRLOOM_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            ],
            "envFrom": [{"secretRef": {"name": name}} for name in cluster.list_kubernetes_secrets(request.team)],
            "resources": _drop_empty(
                {
                    "requests": requests,
                    "limits": limits,
                    "claims": [{"name": claim["name"]} for claim in profile.resourceClaims],
                }
            ),
            "volumeMounts": mounts,
            "terminationMessagePath": TERMINATION_LOG,
            "terminationMessagePolicy": "File",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    )


def _build_volumes(profile: Profile) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if profile.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": profile.shared_memory}})
    return volumes


def _require_nodes(pod: dict[str, Any], placement: Placement) -> dict[str, Any]:
    """Hold the pod to the nodes of its placement, whatever affinity, selector and tolerations the profile and its
    template have.

    Errors:
        ConfigError: they select other nodes by the same label.
    """
    spec = pod["spec"]
    if not isinstance(spec, dict):  # a template's mistake, which the check against Kubernetes' OpenAPI names
        return pod
    selector = spec.get("nodeSelector") or {}
    for label, value in placement.selector.items():
        if selector.get(label) != value:
            raise ConfigError(
                f"nodeSelector {label}: {selector.get(label)!r} of the profile contradicts {value!r}, which its "
                "node_pool, capacity or gpu asks for; leave one of the two out"
            )
    if placement.requirements:
        spec = {**spec, "affinity": _narrow(spec.get("affinity"), placement.requirements)}
    given = spec.get("tolerations")
    if isinstance(given, list):  # a template's list replaces ours, but for what the placement's nodes need
        spec = {**spec, "tolerations": [*given, *(each for each in placement.tolerations if each not in given)]}
    return {**pod, "spec": spec}


def _narrow(affinity: Any, requirements: list[dict[str, Any]], path: tuple[str, ...] = _NODE_TERMS) -> Any:
    """An affinity that asks for the requirements too; one of another shape stays, for the check by Kubernetes' OpenAPI.

    Kubernetes takes a node that meets any one term, and of that term every expression and field: so the requirements
    go into each. A term with none of them matches no node, and stays so. (API reference: NodeSelector.)
    """
    if path and (affinity is None or isinstance(affinity, dict)):
        below = affinity or {}
        return {**below, path[0]: _narrow(below.get(path[0]), requirements, path[1:])}
    if affinity is None:
        return [{"matchExpressions": requirements}]
    if path or not isinstance(affinity, list) or not all(isinstance(term, dict) for term in affinity):
        return affinity
    return [_narrow_term(term, requirements) for term in affinity]


def _narrow_term(term: dict[str, Any], requirements: list[dict[str, Any]]) -> dict[str, Any]:
    if not (term.get("matchExpressions") or term.get("matchFields")):
        return term
    return {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *requirements]}


def _tolerate_losses(profile: Profile) -> list[dict[str, Any]]:
    """How long an unreachable node keeps its pods; Kubernetes' own default is five minutes."""
    return [
        {
            "key": f"node.kubernetes.io/{condition}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": profile.node_loss_seconds,
        }
        for condition in ("not-ready", "unreachable")
    ]


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge; containers merge by name; other lists of named things are added to, the same one replaced whole
    (a volume or variable of two kinds is none to Kubernetes); everything else replaces."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        elif _is_named(old) and _is_named(value):
            merged[key] = _merge_named(old, value, _KEYS.get(key, "name"), whole=key not in _CONTAINERS)
        else:
            merged[key] = value
    return merged


def _is_named(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) and "name" in each for each in value)


def _merge_named(below: Any, above: Any, name: str, whole: bool) -> list[Any]:
    merged = {each.get(name): each for each in below}
    for each in above:
        old = {} if whole else merged.get(each.get(name), {})
        merged[each.get(name)] = _merge(old, each)
    return list(merged.values())


def _drop_empty(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None and value not in ([], {}, ())}
