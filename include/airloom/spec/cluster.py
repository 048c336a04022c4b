"""The cluster file, `kind: Cluster`: where an installation's stages run as pods, on what nodes, and for which teams.

One per installation, `AIRLOOM_CLUSTER_FILE`. Kubernetes' own words (camelCase) are handed to Kubernetes as they are;
Airloom's own are in the manner of the pipeline file (snake_case). A pipeline file names a profile by `compute`, and
nothing else of a cluster. The models are pure; `load_cluster` reads the file. The Airflow side builds pods by it, and
`airloom validate` and `doctor` check it. Not here: what a pod looks like, and anything that talks to a cluster.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from airloom.errors import ConfigError, Finding, SpecError
from airloom.spec.cluster_checks import check_cluster
from airloom.spec.complaints import Complaint, build_complaints
from airloom.spec.document import Document, join_path, load_document
from airloom.spec.quantity import Quantity, parse_quantity
from airloom.spec.section import MAX_INTEGER, Name, Seconds, Section
from airloom.spec.team import NAMESPACE_LENGTH, AirflowSecret, Quota, Secret, Team, list_airflow_secrets

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
    """How long each part of a pod's way may take. An error names the one that was passed."""

    queueing_seconds: Seconds = Field(default=86400, gt=0)
    """Held by Kueue or another scheduling gate."""
    scheduling_seconds: Seconds = Field(default=1200, gt=0)
    """Until a node takes it: a GPU node takes 10 to 15 minutes to come."""
    pulling_seconds: Seconds = Field(default=900, gt=0)
    """From a node until its container runs: images, volumes."""
    running_seconds: Seconds = Field(default=86400, gt=0)
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
    """Left out: none."""
    node_pool: str | None = None
    """The provider's node pool (node group, agent pool)."""
    capacity: Literal["on-demand", "spot"] | None = None
    """Spot: cheap nodes that may go at any time; the last of `infrastructure_losses` runs on on-demand."""
    image: str | None = None
    """Left out: the installation's `images.cpu` or `images.gpu`."""
    queue: str | None = None
    """Kueue's LocalQueue."""
    infrastructure_losses: int = Field(default=3, ge=0, le=MAX_INTEGER)
    """How often a stage whose node or pod was lost is started again; a budget of its own, beside `retries`."""
    node_loss_seconds: int = Field(default=30, ge=0, le=MAX_INTEGER)
    """How long a node may be unreachable before its pods are given up."""
    cluster: Name | None = None
    """Another cluster than the installation's own, one of `clusters`."""
    limits: Limits = Limits()
    nodeSelector: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes, beside those of `node_pool`, `capacity` and `gpu`."""
    affinity: dict[str, Any] | None = None
    """Kubernetes' own; what `capacity` asks for is added to each of its node selector terms."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Kubernetes' own, beside those of `capacity` and `gpu`."""
    runtimeClassName: str | None = None
    """Kubernetes' own, such as `nvidia` or `gvisor`."""
    priorityClassName: str | None = None
    """Kubernetes' own."""
    serviceAccountName: str | None = None
    """Left out: the team's, or the installation's."""
    imagePullSecrets: tuple[str, ...] = ()
    """Names of Secrets in the team's namespace."""
    resourceClaims: tuple[dict[str, str], ...] = ()
    """Dynamic Resource Allocation: `{name, resourceClaimName}` or `{name, resourceClaimTemplateName}`."""
    podTemplate: dict[str, Any] = Field(default_factory=dict)
    """Verbatim `{metadata, spec}` of a pod, merged over all but what Airloom finds its pods by (their name, namespace
    and `airloom.io/` labels) and goes by when they end (`restartPolicy`); the container `stage` by its name."""


class Images(Section):
    """Which image runs stages."""

    cpu: str
    """docker/stage-cpu, or one built on it."""
    gpu: str | None = None
    """docker/stage-gpu; for profiles with a `gpu`."""


class Connection(Section):
    """How to reach a cluster; it holds no secret itself. Nothing given: the cluster that Airflow itself runs in."""

    kubeconfig: str | None = None
    """Path, on every machine that runs Airflow's workers and triggerers."""
    context: str | None = None
    """Of the kubeconfig. Left out: its current one."""
    conn_id: str | None = None
    """An Airflow connection of type Kubernetes, from whichever secrets backend holds it; in place of a kubeconfig."""

    @model_validator(mode="after")
    def _one_way(self) -> Connection:
        if self.conn_id is not None and (self.kubeconfig is not None or self.context is not None):
            raise ValueError("give conn_id, or kubeconfig and context, not both; a connection names its own context")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError(f"context {self.context!r} needs a kubeconfig; give its path, or leave context out")
        return self

    @property
    def in_cluster(self) -> bool:
        """Airflow's own cluster is meant, by the service account that Airflow runs as."""
        return self.kubeconfig is None and self.conn_id is None


class OtherCluster(Section):
    """A cluster beside the installation's own, for the profiles that name it."""

    connection: Connection
    """How to reach it."""
    provider: Provider = "generic"
    """Whose labels and taints its nodes have."""
    images: Images | None = None
    """Left out: the installation's."""
    workload_identity: bool = False
    """As the installation's, for this cluster."""
    mount_api_token: bool = False
    """As the installation's, for this cluster."""
    env: dict[str, str] = Field(default_factory=dict)
    """Over the installation's `env`: a server may have another address from here."""


class Cluster(Section):
    """Where the pods of an installation run."""

    connection: Connection = Connection()
    """How to reach the installation's own cluster."""
    provider: Provider = "generic"
    """Whose labels and taints node pools, GPUs and spot nodes have."""
    clusters: dict[Name, OtherCluster] = Field(default_factory=dict)
    """Other clusters by name; a profile's `cluster` chooses one."""
    namespace: str = Field(default="airloom-{team}", pattern=r"^([a-z0-9-]|\{team\})+$")
    """`{team}` is the pipeline's, with `--` for each `_`: names of teams hold no `--`, so no two teams share one."""
    images: Images
    """Which image runs stages."""
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """Kubernetes' `imagePullPolicy`."""
    serviceAccountName: str = "airloom-stage"
    """Of stages whose profile and team name none. It needs no rights in the cluster, and no token of it is mounted."""
    workload_identity: bool = False
    """Stages act in the cloud as what their service account is bound to. GKE and EKS need the service account's
    annotation or association alone, AKS a label that pods then get; the API server's token is mounted on none."""
    mount_api_token: bool = False
    """Mount the service account's API token into every stage, on a generic cluster whose own identity broker (Vault's
    agent, SPIRE) takes it. A stage can then do in the cluster whatever its service account may."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables of every stage: `AIRLOOM_TRACKING_URI`, `AWS_ENDPOINT_URL`, …"""
    secrets: tuple[Secret, ...] = ()
    """Names of Kubernetes Secrets whose keys become variables of every stage, and variables whose values Airflow has:
    `{name, conn_id, field}` or `{name, variable}`. Pods get both by reference; stages as processes get Airflow's."""
    teams: dict[Name, Team] = Field(default_factory=dict)
    """What holds for single teams; one that is not here has the installation's."""
    deferrable: bool = True
    """Wait for pods in the triggerer. False: in the worker, whose slot is then held."""
    callbacks: tuple[str, ...] = ()
    """Classes (dotted paths) of KubernetesPodOperatorCallback."""
    keep_failed_pods: bool = False
    """Leave failed pods for a look; the janitor takes them away after a day."""
    profiles: dict[Name, Profile] = Field(default_factory=dict)
    """`cpu-small` is there even if it is not given."""

    def for_stage(self, team: str, compute: str) -> tuple[Cluster, Profile]:
        """What holds for a team's stages of one profile: its cluster and team laid over the installation's.

        Args:
            team: of the pipeline.
            compute: the profile's name.

        Returns:
            An installation whose connection, provider, namespace, images, service account, environment and secrets are
            those of the stage; and the profile.

        Errors:
            ConfigError: there is no such profile or cluster, or the team may not use it, or one pod of it asks for more
                than the team's quota; or its namespace is too long.
        """
        profile = self.profile(compute, team)
        if team in self.teams and (quota := self.teams[team].quota) is not None:
            _require_room(quota, profile, f"compute {compute!r}", f"spec.teams.{team}.quota")
        return self.for_cluster(profile)._for_team(team), profile

    def profile(self, name: str, team: str | None = None) -> Profile:
        """
        Args:
            name: as a pipeline's `compute` has it.
            team: who asks for it; None: the installation itself.

        Errors:
            ConfigError: there is no such profile, or the team may not use it.
        """
        known = {DEFAULT_PROFILE: Profile(), **self.profiles}
        if name not in known:
            raise ConfigError(
                f"compute {name!r} is no profile of this installation; it has {', '.join(self.list_profiles(team))}. "
                "Add it to the cluster file (AIRLOOM_CLUSTER_FILE), or name another in the pipeline file."
            )
        if team is not None and name not in (allowed := self.list_profiles(team)):
            raise ConfigError(
                f"compute {name!r} is not for team {team!r}, which may use {', '.join(allowed) or 'none'}. Name one of "
                f"these in the pipeline file, or add it to spec.teams.{team}.profiles of the cluster file."
            )
        return known[name]

    def list_profiles(self, team: str | None = None) -> list[str]:
        """The profiles that a team's pipelines may name, sorted; of None: all."""
        known = {DEFAULT_PROFILE, *self.profiles}
        allowed = self.teams[team].profiles if team in self.teams else None
        return sorted(known if allowed is None else known.intersection(allowed))

    def find_namespace(self, team: str) -> str:
        """Where a team's pods run, in whichever cluster.

        Errors:
            ConfigError: the name is longer than Kubernetes takes.
        """
        if team in self.teams and (own := self.teams[team].namespace) is not None:
            return own
        namespace = self.namespace.replace("{team}", team.replace("_", "--"))
        if len(namespace) > NAMESPACE_LENGTH:
            raise ConfigError(
                f"namespace {namespace!r} of team {team!r} has {len(namespace)} characters, and Kubernetes takes "
                f"{NAMESPACE_LENGTH}; give spec.teams.{team}.namespace in the cluster file"
            )
        return namespace

    def list_airflow_secrets(self, team: str) -> tuple[AirflowSecret, ...]:
        """The variables of a team's stages whose values Airflow has."""
        return list_airflow_secrets(self._for_team(team).secrets)

    def list_kubernetes_secrets(self, team: str) -> tuple[str, ...]:
        """The Kubernetes Secrets of a team's stages, by their names."""
        return tuple(each for each in self._for_team(team).secrets if isinstance(each, str))

    def list_places(self, teams: Iterable[str]) -> list[tuple[Connection, str]]:
        """Every cluster and namespace that stages of these teams may run in; each once.

        Errors:
            ConfigError: a team's namespace is too long.
        """
        connections = [self.connection, *(other.connection for other in self.clusters.values())]
        namespaces = sorted({self.find_namespace(team) for team in teams})
        return list(dict.fromkeys((connection, name) for connection in connections for name in namespaces))

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

    def for_cluster(self, profile: Profile) -> Cluster:
        """The installation as it is in the cluster that a profile names.

        Errors:
            ConfigError: there is no such cluster.
        """
        if profile.cluster is None:
            return self
        if profile.cluster not in self.clusters:
            raise ConfigError(_unknown_cluster(profile.cluster, self.clusters))
        other = self.clusters[profile.cluster]
        return self.model_copy(
            update={
                "connection": other.connection,
                "provider": other.provider,
                "images": other.images or self.images,
                "workload_identity": other.workload_identity,
                "mount_api_token": other.mount_api_token,
                "env": {**self.env, **other.env},
            }
        )

    def _for_team(self, name: str) -> Cluster:
        team = self.teams.get(name, Team())
        return self.model_copy(
            update={
                "namespace": self.find_namespace(name),
                "serviceAccountName": team.serviceAccountName or self.serviceAccountName,
                "secrets": tuple(dict.fromkeys((*self.secrets, *team.secrets))),
                "env": {**self.env, **team.env},
                "teams": {},
            }
        )


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
        cluster = ClusterFile.model_validate(document.data).spec
    except ValidationError as error:
        complaints = build_complaints(ClusterFile, document.data, error.errors(include_url=False))
        raise SpecError(findings=_place(complaints, document)) from error
    if findings := _place(check_cluster(cluster), document):
        raise SpecError(findings=findings)
    return cluster


def _place(complaints: Iterable[Complaint], document: Document) -> list[Finding]:
    return [
        Finding(
            document.file,
            *document.find(complaint.path, complaint.of_key)[1],
            join_path(complaint.path),
            complaint.message,
        )
        for complaint in complaints
    ]


def _require_room(quota: Quota, profile: Profile, what: str, where: str) -> None:
    """One pod of a profile, with all the memory that it may be given, fits into a quota that is empty.

    Errors:
        ConfigError: it does not, and would wait for ever.
    """
    whole = profile.gpu.count if profile.gpu and not (profile.gpu.mig or profile.gpu.sharing) else 0
    asked = {"cpu": profile.cpu, "memory": profile.memory_max or profile.memory, "gpu": str(whole)}
    for resource, amount in asked.items():
        limit = getattr(quota, resource)
        if limit is not None and parse_quantity(amount) > parse_quantity(str(limit)):
            raise ConfigError(
                f"a pod of {what} asks for {resource}: {amount}, and {where} of the cluster file gives {limit} in all; "
                "name a smaller profile in the pipeline file, or raise the quota"
            )


def _unknown_cluster(name: str, clusters: Iterable[str]) -> str:
    return f"given {name!r}; the file's clusters are {', '.join(sorted(clusters)) or 'none'}: add it to spec.clusters"
