"""The labels, taints and resources by which each provider knows node pools, spot nodes, GPUs and identities.

Sources, read in 2026: GKE "GPUs in Autopilot/Standard", "Spot VMs" and "Node pools"; EKS "Managed node groups" and
"Auto Mode: node pool labels"; Karpenter "Scheduling: well-known labels"; AKS "Use GPUs" and "Spot node pools"; NVIDIA's
GPU operator (MIG `mixed` strategy, time-slicing with `renameByDefault`) for generic clusters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from airloom.spec.cluster import Gpu, Provider

Capacity = Literal["on-demand", "spot"]

_GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@dataclass
class Placement:
    """What a pod must say to come to the nodes that it wants.

    Attributes:
        requirements: of node affinity, for what a selector cannot say.
        resources: extended resources, by name.
    """

    selector: dict[str, str] = field(default_factory=dict)
    requirements: list[dict[str, Any]] = field(default_factory=list)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, int] = field(default_factory=dict)


_POOL_LABELS: dict[Provider, str] = {
    "generic": "airloom.io/node-pool",
    "gke": "cloud.google.com/gke-nodepool",
    "eks": "eks.amazonaws.com/nodegroup",
    "eks-karpenter": "karpenter.sh/nodepool",
    "eks-auto": "karpenter.sh/nodepool",
    "aks": "kubernetes.azure.com/agentpool",
}
_CAPACITY_LABELS: dict[Provider, tuple[str, str, str | None]] = {
    "generic": ("airloom.io/capacity", "spot", "on-demand"),
    "gke": ("cloud.google.com/gke-spot", "true", None),
    "eks": ("eks.amazonaws.com/capacityType", "SPOT", "ON_DEMAND"),
    "eks-karpenter": ("karpenter.sh/capacity-type", "spot", "on-demand"),
    "eks-auto": ("karpenter.sh/capacity-type", "spot", "on-demand"),
    "aks": ("kubernetes.azure.com/scalesetpriority", "spot", None),
}
"""Label, its value on spot nodes, and on others; None: they lack it."""
_IDENTITY_LABELS: dict[Provider, dict[str, str]] = {
    # "Only pods with this label will be mutated" by the webhook, which then mounts a projected token for Entra:
    # azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
    "aks": {"azure.workload.identity/use": "true"},
}
"""What a pod must carry to act as the cloud's identity of its service account. No provider reads the API's token:

- GKE: the node's metadata server answers for the pod's service account; nothing is mounted. (cloud.google.com/
  kubernetes-engine/docs/concepts/workload-identity.) Its node selector `iam.gke.io/gke-metadata-server-enabled` is left
  to profiles, for Autopilot refuses it.
- EKS, IAM roles for service accounts and Pod Identity: the webhook mounts a projected token of its own audience
  (sts.amazonaws.com, pods.eks.amazonaws.com) into pods whose service account has a role, automounting or not.
  (docs.aws.amazon.com/eks/latest/userguide/{iam-roles-for-service-accounts,pod-id-how-it-works}.html.)
- AKS: the pod's label, and the service account's annotation `azure.workload.identity/client-id`.
"""
_TAINTED_SPOT = ("generic", "gke", "aks")
_GPU_LABELS: dict[Provider, str] = {
    "generic": "nvidia.com/gpu.product",
    "gke": "cloud.google.com/gke-accelerator",
    "eks": "nvidia.com/gpu.product",
    "eks-karpenter": "karpenter.k8s.aws/instance-gpu-name",
    "eks-auto": "eks.amazonaws.com/instance-gpu-name",
    "aks": "nvidia.com/gpu.product",
}


def build_placement(provider: Provider, node_pool: str | None, capacity: Capacity | None, gpu: Gpu | None) -> Placement:
    """What a pod says on this provider."""
    placement = Placement()
    if node_pool is not None:
        placement.selector[_POOL_LABELS[provider]] = node_pool
    if capacity is not None:
        _add_capacity(placement, provider, capacity)
    if gpu is not None:
        _add_gpu(placement, provider, gpu)
    return placement


def build_identity_labels(provider: Provider) -> dict[str, str]:
    """Labels of a pod that has its service account's identity in the cloud; see `_IDENTITY_LABELS`."""
    return dict(_IDENTITY_LABELS.get(provider, {}))


def _add_capacity(placement: Placement, provider: Provider, capacity: Capacity) -> None:
    label, spot, other = _CAPACITY_LABELS[provider]
    if capacity == "spot":
        placement.selector[label] = spot
        if provider in _TAINTED_SPOT:
            placement.tolerations.append({"key": label, "operator": "Equal", "value": spot, "effect": "NoSchedule"})
    elif other is not None:
        placement.selector[label] = other
    else:
        placement.requirements.append({"key": label, "operator": "DoesNotExist"})


def _add_gpu(placement: Placement, provider: Provider, gpu: Gpu) -> None:
    placement.tolerations.append(dict(_GPU_TAINT))
    if provider == "aks":
        placement.tolerations.append({"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"})
    if gpu.product is not None:
        placement.selector[_GPU_LABELS[provider]] = gpu.product
    resource = "nvidia.com/gpu"
    if provider == "gke":
        if gpu.mig:
            placement.selector["cloud.google.com/gke-gpu-partition-size"] = gpu.mig
        if gpu.sharing:
            placement.selector["cloud.google.com/gke-gpu-sharing-strategy"] = "time-sharing"
    elif gpu.mig:
        resource = f"nvidia.com/mig-{gpu.mig}"
    elif gpu.sharing:
        resource = "nvidia.com/gpu.shared"
    placement.resources[resource] = gpu.count
