"""The clusters that an installation's stages run in: what is asked of each, in which order. `cluster` explains the
answers. Asked by Airflow's own account; a person's kubeconfig looks where Airflow may not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.errors import ConfigError, SpecError
from airloom.settings import Settings
from airloom.spec import Pipeline, build_plans
from airloom.spec.cluster import Cluster, Connection, load_cluster
from airloom.spec.cluster_pods import check_amounts, place_in_file
from airloom.spec.plan import find_compute
from airloom_airflow.doctor import cluster as explaining
from airloom_airflow.doctor.cluster import Need, check_addresses
from airloom_airflow.doctor.pipelines import find_valid
from airloom_airflow.doctor.reading import ApiServer
from airloom_airflow.doctor.registry import check_image
from airloom_airflow.pods.pod import PodRequest, build_pod
from airloom_airflow.pods.schema import require_valid_pod

_KUEUE = "kueue.x-k8s.io"


def check_kubernetes(settings: Settings, kubeconfig: Path | None, context: str | None) -> Iterator[Diagnosis]:
    """All that the stages of all valid pipelines ask of their clusters.

    Args:
        settings: of an installation whose stages are pods.
        kubeconfig: a person's own, to look with; None: Airflow's account looks.
        context: of that.
    """
    assert settings.cluster_file is not None
    try:
        cluster = load_cluster(settings.cluster_file)
    except SpecError as error:
        for finding in error.findings:
            place = f"{finding.file}:{finding.line}:{finding.column}" if finding.line else finding.file
            message = f"{finding.path}: {finding.message}" if finding.path else finding.message
            remedy = f"Mend the file; `airloom validate {settings.cluster_file}` checks it."
            yield wrong("cluster file", place, message, remedy)
        return
    for finding in place_in_file(check_amounts(cluster), settings.cluster_file):
        place = f"{finding.file}:{finding.line}:{finding.column}"
        yield wrong("cluster file", place, f"{finding.path}: {finding.message}", "Mend the file.")
    yield right("cluster file", str(settings.cluster_file), f"valid; profiles {', '.join(cluster.list_profiles())}")
    needs: dict[Connection, list[Need]] = {}
    for found in find_needs(cluster, settings):
        if isinstance(found, Need):
            needs.setdefault(found.cluster.connection, []).append(found)
        else:
            yield found
    if not needs:
        yield unchecked("cluster", str(settings.cluster_file), "no valid pipeline asks for a pod", "Add a pipeline.")
    for connection, wanted in needs.items():
        yield from _check_cluster(connection, wanted, cluster, (kubeconfig, context))
    told = {"AIRLOOM_TRACKING_URI": settings.tracking_uri, "AIRLOOM_GATEWAY_URL": settings.gateway_url}
    for need in (need for wanted in needs.values() for need in wanted):
        yield from check_addresses(need, told)
    images: dict[str, tuple[str, str]] = {}
    for need in (need for wanted in needs.values() for need in wanted):
        image = need.pod["spec"]["containers"][0]["image"]
        images.setdefault(image, (need.where, need.cluster.image_pull_policy))
    for image, (where, policy) in images.items():
        if policy == "Never":
            remedy = "See that every node of the profile has it."
            yield unchecked("images", f"{where}: {image}", "image_pull_policy is Never: no registry is asked", remedy)
        else:
            yield check_image(image, where)


def find_needs(cluster: Cluster, settings: Settings) -> Iterator[Need | Diagnosis]:
    """A need for each team and profile that valid pipelines use, or what is wrong with it; invalid ones are not ours to
    tell."""
    uses: dict[tuple[str, str], dict[str, tuple[Path, Pipeline]]] = {}
    for path, pipeline in find_valid(settings):
        for plan in build_plans(pipeline):
            for stage in (task.stage for task in plan.tasks if task.stage != "drift"):
                use = pipeline.metadata.team, find_compute(pipeline, stage)
                uses.setdefault(use, {}).setdefault(stage, (path, pipeline))
    for (_, compute), stages in uses.items():
        yield _build_need(cluster, compute, stages)


def _build_need(cluster: Cluster, compute: str, stages: dict[str, tuple[Path, Pipeline]]) -> Need | Diagnosis:
    stage, (path, pipeline) = next(iter(stages.items()))
    team = pipeline.metadata.team
    where = f"{path}: compute {compute}"
    try:
        ours, profile = cluster.for_stage(team, compute)
        pod = build_pod(
            ours,
            profile,
            PodRequest(
                installation="doctor", team=team, pipeline=pipeline.metadata.name, stage=stage, dag_id="doctor",
                run_id="doctor", task_id=stage, map_index=-1, try_number=1, task_instance="doctor", arguments=(stage,),
            ),
        )  # fmt: skip
        require_valid_pod(pod, f"the pod of {compute}")
    except ConfigError as error:
        return wrong("profiles", where, str(error), "Mend the cluster file or the pipeline file.")
    return Need(team, compute, frozenset(stages), ours, profile, pod)


def _check_cluster(
    connection: Connection, needs: list[Need], installation: Cluster, person: tuple[Path | None, str | None]
) -> Iterator[Diagnosis]:
    named = connection.kubeconfig or connection.conn_id or "the cluster that Airflow runs in"
    try:
        server = ApiServer(connection)
        looker = ApiServer.of_person(person[0], person[1]) if person[0] else server
    except Exception as error:  # kubeconfigs and connections are wrong in many ways, each with a class of its own
        remedy = "See `connection` of the cluster file (or --kubeconfig and --context)."
        yield wrong("cluster", named, f"it cannot be connected to: {error}", remedy)
        return
    first = explaining.explain_connection(server.get("/version"), f"{named} ({server.address})")
    yield first
    if first.verdict == "wrong":
        return
    lost: set[str] = set()
    for need in needs:
        if need.namespace in lost:
            continue
        trial = explaining.explain_trial(server.try_pod(dict(need.pod)), need)
        yield trial
        if trial.check == "namespace":
            lost.add(need.namespace)
            continue
        yield from _check_named(looker, need)
        yield from explaining.explain_nodes(looker.get("/api/v1/nodes"), need)
    for namespace in sorted({need.namespace for need in needs} - lost):
        here = [need for need in needs if need.namespace == namespace]
        yield from _check_rights(server, namespace, here, keeps=installation.keep_failed_pods)
        yield from _check_quotas(looker, here, installation)


def _check_quotas(looker: ApiServer, needs: list[Need], installation: Cluster) -> Iterator[Diagnosis]:
    """Of the teams that have one in the cluster file; each team once."""
    for need in {need.team: need for need in needs}.values():
        if need.team in installation.teams and (quota := installation.teams[need.team].quota) is not None:
            answer = looker.get(f"/api/v1/namespaces/{need.namespace}/resourcequotas")
            yield explaining.explain_team_quota(answer, need, quota)


def _check_rights(server: ApiServer, namespace: str, needs: list[Need], *, keeps: bool) -> Iterator[Diagnosis]:
    amiss = False
    for verb, resource, subresource in explaining.list_rights(needs, keeps=keeps):
        what = f"{resource}/{subresource}" if subresource else resource
        found = explaining.explain_right(server.may(namespace, verb, resource, subresource), namespace, verb, what)
        if found is not None:
            amiss = True
            yield found
    if not amiss:
        yield right("rights", f"namespace {namespace}", "Airflow's account may do all that it does")


def _check_named(looker: ApiServer, need: Need) -> Iterator[Diagnosis]:
    """Secrets, image pull Secrets, queues and claims that are named; each by the looker's account."""
    core = f"/api/v1/namespaces/{need.namespace}"
    for secret in dict.fromkeys((*need.cluster.list_kubernetes_secrets(need.team), *need.profile.imagePullSecrets)):
        answer = looker.get(f"{core}/secrets/{secret}", metadata_only=True)
        yield explaining.explain_object(answer, need, "Secret", secret)
    if need.profile.queue:
        yield _check_queue(looker, need, need.profile.queue)
    for claim in need.profile.resourceClaims:
        for kind in ("ResourceClaim", "ResourceClaimTemplate"):
            if name := claim.get(f"r{kind[1:]}Name"):
                path = f"/apis/resource.k8s.io/v1/namespaces/{need.namespace}/{kind.lower()}s/{name}"
                yield explaining.explain_object(looker.get(path), need, kind, name)


def _check_queue(looker: ApiServer, need: Need, queue: str) -> Diagnosis:
    group = looker.get(f"/apis/{_KUEUE}")
    if group.status == 404:
        remedy = "Install Kueue, or leave `queue` out of the profile."
        return wrong("queue", need.where, f"the profile names queue {queue}, and the cluster has no {_KUEUE}", remedy)
    if not group.is_success:
        return explaining.explain_object(group, need, "LocalQueue", queue)
    version = group.body["preferredVersion"]["groupVersion"]
    answer = looker.get(f"/apis/{version}/namespaces/{need.namespace}/localqueues/{queue}")
    return explaining.explain_object(answer, need, "LocalQueue", queue)
