"""The cluster file: one per installation, `AIRLOOM_CLUSTER_FILE`. Where stages run as pods, and on what nodes.

Kubernetes' own words (camelCase) are handed to Kubernetes as they are; Airloom's own are in the manner of the pipeline
file (snake_case). A pipeline file names a profile by `compute`, and nothing else of a cluster.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from airloom.errors import ConfigError, Finding, SpecError
from airloom.spec.complaints import build_complaints
from airloom.spec.document import join_path, load_document
from airloom.spec.section import Name, Section

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
"""A Kubernetes quantity, such as `500m`, `2` or `4Gi`."""

Provider = Literal["generic", "gke", "eks", "eks-karpenter", "eks-auto", "aks"]

DEFAULT_PROFILE = "cpu-small"


class Gpu(Section):
    """Graphics processors of a stage."""

    count: int = Field(default=1, ge=1)
    """How many, or how many slices of one."""
    product: str | None = None
    """As the provider calls it: `nvidia-l4` on GKE, `l4` on Karpenter and Auto Mode, elsewhere the label
    `nvidia.com/gpu.product`."""
    mig: str | None = Field(default=None, pattern=r"^[0-9]g\.[0-9]+gb$")
    """A MIG slice, such as `1g.5gb`."""
    sharing: Literal["time-slicing"] | None = None
    """Share the processor with other pods by time."""

    @model_validator(mode="after")
    def _one_way(self) -> Gpu:
        if self.mig and self.sharing:
            raise ValueError("give mig or sharing, not both")
        return self


class Limits(Section):
    """How long each part of a pod's way may take. Each is told by its own name when it is passed."""

    queueing_seconds: float = Field(default=86400, gt=0)
    """Held by Kueue or another scheduling gate."""
    scheduling_seconds: float = Field(default=1200, gt=0)
    """Until a node takes it: a GPU node takes 10 to 15 minutes to come."""
    pulling_seconds: float = Field(default=900, gt=0)
    """From a node until its container runs: images, volumes."""
    running_seconds: float = Field(default=86400, gt=0)
    """The stage itself."""


class Profile(Section):
    """A compute profile: what a stage's pod asks for, and of which nodes."""

    cpu: Quantity = "1"
    """Request; numeric libraries get as many threads."""
    cpu_limit: Quantity | None = None
    """Left out: a stage may use what the node has to spare."""
    memory: Quantity = "2Gi"
    """Request and limit."""
    memory_max: Quantity | None = None
    """Cap of what an out-of-memory stage is given when it is started again, twice as much each time. Left out: it is
    not started again."""
    ephemeral_storage: Quantity | None = None
    """Request and limit of scratch space."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm, for data loaders that share tensors."""
    gpu: Gpu | None = None
    node_pool: str | None = None
    """The provider's node pool (node group, agent pool)."""
    capacity: Literal["on-demand", "spot"] | None = None
    """Spot: cheap nodes that may go at any time; the last of `infrastructure_losses` runs on on-demand."""
    image: str | None = None
    """Left out: the installation's `images.cpu` or `images.gpu`."""
    queue: str | None = None
    """Kueue's LocalQueue."""
    infrastructure_losses: int = Field(default=3, ge=0)
    """How often a stage whose node or pod was lost is started again; a budget of its own, beside `retries`."""
    node_loss_seconds: int = Field(default=30, ge=0)
    """How long a node may be unreachable before its pods are given up."""
    limits: Limits = Limits()
    nodeSelector: dict[str, str] = Field(default_factory=dict)
    affinity: dict[str, Any] | None = None
    tolerations: tuple[dict[str, Any], ...] = ()
    runtimeClassName: str | None = None
    priorityClassName: str | None = None
    serviceAccountName: str | None = None
    imagePullSecrets: tuple[str, ...] = ()
    resourceClaims: tuple[dict[str, str], ...] = ()
    """Dynamic Resource Allocation: `{name, resourceClaimName}` or `{name, resourceClaimTemplateName}`."""
    podTemplate: dict[str, Any] = Field(default_factory=dict)
    """Verbatim `{metadata, spec}` of a pod, merged over everything else; the container `stage` by its name."""


class Images(Section):
    """Which image runs stages."""

    cpu: str
    """docker/stage-cpu, or one built on it."""
    gpu: str | None = None
    """docker/stage-gpu; for profiles with a `gpu`."""


class Connection(Section):
    """The cluster. Nothing given: the one that Airflow itself runs in."""

    kubeconfig: str | None = None
    """Path, on every machine that runs Airflow's workers and triggerers."""
    context: str | None = None
    """Of the kubeconfig."""


class Cluster(Section):
    """Where the pods of an installation run."""

    connection: Connection = Connection()
    provider: Provider = "generic"
    """Whose labels and taints node pools, GPUs and spot nodes have."""
    namespace: str = "airloom-{team}"
    """`{team}` is the pipeline's."""
    images: Images
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    serviceAccountName: str = "airloom-stage"
    """Of stages whose profile names none. It needs no rights in the cluster, and no token of it is mounted."""
    workload_identity: bool = False
    """Mount the service account's token: some clouds' identity for object stores needs it."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables of every stage: `AIRLOOM_TRACKING_URI`, `AWS_ENDPOINT_URL`, …"""
    secrets: tuple[str, ...] = ()
    """Kubernetes Secrets whose keys become variables of every stage, by reference."""
    deferrable: bool = True
    """Wait for pods in the triggerer. False: in the worker, whose slot is then held."""
    callbacks: tuple[str, ...] = ()
    """Classes (dotted paths) of KubernetesPodOperatorCallback."""
    keep_failed_pods: bool = False
    """Leave failed pods for a look; the janitor takes them away after a day."""
    profiles: dict[Name, Profile] = Field(default_factory=dict)
    """`cpu-small` is there even if it is not given."""

    def profile(self, name: str) -> Profile:
        """
        Errors:
            ConfigError: there is no such profile.
        """
        if name in self.profiles:
            return self.profiles[name]
        if name == DEFAULT_PROFILE:
            return Profile()
        raise ConfigError(
            f"compute {name!r} is no profile of this installation; it has {', '.join(sorted(self.profiles))}. Add it "
            "to the cluster file (AIRLOOM_CLUSTER_FILE), or name another in the pipeline file."
        )

    def find_namespace(self, team: str) -> str:
        """Where a team's pods run."""
        return self.namespace.format(team=team.replace("_", "-"))

    def image(self, profile: Profile) -> str:
        """
        Errors:
            ConfigError: a GPU is asked for, and there is no image for it.
        """
        if profile.image:
            return profile.image
        if profile.gpu is None:
            return self.images.cpu
        if self.images.gpu is None:
            raise ConfigError("a profile has a gpu, and the cluster file names no images.gpu; give one, or the "
                              "profile's own image")  # fmt: skip
        return self.images.gpu


class ClusterFile(Section):
    """The file."""

    apiVersion: Literal["airloom.io/v1"]
    kind: Literal["Cluster"]
    spec: Cluster


def load_cluster(path: Path) -> Cluster:
    """Read the cluster file; the same file unchanged is read once in a process.

    Errors:
        SpecError: with file, line, column, what was given, what is allowed.
    """
    try:
        stamp = path.stat()
    except OSError as error:
        raise SpecError(findings=[Finding(str(path), 0, 0, "", f"cannot be read: {error.strerror}")]) from error
    return _load(path, stamp.st_mtime_ns, stamp.st_size)


@functools.lru_cache(maxsize=4)
def _load(path: Path, *stamp: int) -> Cluster:
    document = load_document(path)
    try:
        return ClusterFile.model_validate(document.data).spec
    except ValidationError as error:
        complaints = build_complaints(ClusterFile, document.data, error.errors(include_url=False))
        raise SpecError(
            findings=[
                Finding(
                    document.file,
                    *document.find(complaint.path, complaint.of_key)[1],
                    join_path(complaint.path),
                    complaint.message,
                )
                for complaint in complaints
            ]
        ) from error
