"""What one part of the cluster file says of another, checked when the file is loaded. Pure.

`cluster` calls it, with the file's models built; what a single key must be is theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from airloom.errors import ConfigError
from airloom.spec.complaints import Complaint
from airloom.spec.pod_template import check_pod_template
from airloom.spec.team import AirflowSecret, Secret

if TYPE_CHECKING:
    from airloom.spec.cluster import Cluster, OtherCluster


def check_cluster(cluster: Cluster) -> Iterator[Complaint]:
    """What one part of the file says of another."""
    for name, profile in cluster.profiles.items():
        place = ("spec", "profiles", name)
        yield from check_pod_template(profile.podTemplate, (*place, "podTemplate"))
        try:
            ours = cluster.for_cluster(profile)
        except ConfigError as error:
            yield Complaint((*place, "cluster"), str(error), False)
            continue
        try:
            ours.image(profile)
        except ConfigError as error:
            yield Complaint((*place, "gpu"), str(error), True)
    for name, team in cluster.teams.items():
        for index, given in enumerate(team.profiles or ()):
            if given not in cluster.list_profiles():
                message = f"given {given!r}; the file's profiles are {', '.join(cluster.list_profiles())}"
                yield Complaint(("spec", "teams", name, "profiles", index), message, False)
    yield from _check_secrets(cluster)
    yield from _check_quotas(cluster)
    yield from _check_identity(cluster, ("spec",))
    for name, other in cluster.clusters.items():
        yield from _check_identity(other, ("spec", "clusters", name))


def _check_secrets(cluster: Cluster) -> Iterator[Complaint]:
    """A variable has its value of one place."""
    of_all = {*cluster.env, *(name for other in cluster.clusters.values() for name in other.env)}
    of_teams = {name for team in cluster.teams.values() for name in team.env}
    yield from _find_clashes(cluster.secrets, of_all | of_teams, ("spec", "secrets"))
    for name, team in cluster.teams.items():
        yield from _find_clashes(team.secrets, of_all | {*team.env}, ("spec", "teams", name, "secrets"))


def _find_clashes(secrets: Iterable[Secret], env: Collection[str], place: tuple[str, ...]) -> Iterator[Complaint]:
    """Each variable that has two values: in one list of `secrets` twice, or in an `env` beside it."""
    seen: set[str] = set()
    for index, secret in enumerate(secrets):
        if not isinstance(secret, AirflowSecret):
            continue
        if secret.name in seen or secret.name in env:
            where = "is in `secrets` twice" if secret.name in seen else "is in `env` too"
            yield Complaint((*place, index, "name"), f"{secret.name} {where}; keep one of them", False)
        seen.add(secret.name)


def _check_quotas(cluster: Cluster) -> Iterator[Complaint]:
    """Kubernetes counts by namespace, so a quota is one team's where the namespace is."""
    namespaces: dict[str, str] = {}
    for name in cluster.teams:
        with contextlib.suppress(ConfigError):  # too long a name, which whoever runs a stage there is told
            namespaces[name] = cluster.find_namespace(name)
    for name, namespace in namespaces.items():
        if cluster.teams[name].quota is None:
            continue
        sharing = [other for other in namespaces if other != name and namespaces[other] == namespace]
        if namespace == cluster.namespace:
            sharing.append("all that have none of their own")
        if sharing:
            others = ", ".join(sharing)
            message = (f"a quota is its namespace's, and {namespace} is that of other teams too ({others}); give team "
                       f"{name} a namespace of its own, or leave quota out")  # fmt: skip
            yield Complaint(("spec", "teams", name, "quota"), message, True)


def _check_identity(cluster: Cluster | OtherCluster, place: tuple[str, ...]) -> Iterator[Complaint]:
    if cluster.workload_identity and cluster.provider == "generic":
        message = ("a generic cluster has no workload identity that is known here; give its provider, or `secrets`, or "
                   "mount_api_token: true where an identity broker of its own takes that token")  # fmt: skip
        yield Complaint((*place, "workload_identity"), message, False)
    if cluster.mount_api_token and cluster.provider != "generic":
        message = (f"{cluster.provider} gives pods an identity without the API server's token; give "
                   "workload_identity: true instead, and bind the service account")  # fmt: skip
        yield Complaint((*place, "mount_api_token"), message, False)
