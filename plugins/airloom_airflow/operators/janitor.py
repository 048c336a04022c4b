"""Takes away pods that nobody waits for any more: what a lost worker, a deleted run or a kept failure left.

Every pod ends by itself (activeDeadlineSeconds); this is for those that would run on, or lie about, until then. It
looks at its own installation's pods alone: of another's, this Airflow knows nothing. A pod's own Secret goes with it,
and was never without it (`pods.pod.SECRET_GATE`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from kubernetes.client import ApiClient  # type: ignore[import-untyped]

from airloom.errors import ConfigError, UnavailableError
from airloom.settings import Settings, load_settings
from airloom.spec.cluster import Cluster, Connection, load_cluster
from airloom_airflow.operators.pod_client import PodClient, open_api
from airloom_airflow.pods.pod import DAG_ANNOTATION, KEPT_LABEL, RUN_ANNOTATION, STAGES_ANNOTATION, build_selector
from airloom_airflow.pods.state import find_end
from airloom_airflow.triggers.pod_watch import PodPlace

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)
YOUNG_MINUTES = 10.0
"""A pod this young may belong to a task whose state is about to change."""
_KEPT = timedelta(days=1)
"""How long a failed pod is left for a look, from its end."""
_UNKNOWN = timedelta(days=1)
"""How long a pod is left whose run Airflow does not know: it was deleted, most likely, but that is a guess."""
_AWAY_SECONDS = 20.0
"""How long an API server may be away; the janitor comes again."""
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


@dataclass(frozen=True)
class StagePod:
    """A pod as the janitor sees it.

    Attributes:
        ended: when it did, where that is known; else when it was made.
    """

    name: str
    namespace: str
    uid: str
    dag_id: str
    run_id: str
    stages: tuple[str, ...]
    created: datetime
    ended: datetime
    kept: bool


States = Callable[[StagePod], Mapping[str, str | None]]
"""A pod's stages → their tasks' states; without a task that Airflow does not know."""


def find_orphans(
    pods: Iterable[StagePod], states: States, now: datetime, young: timedelta = timedelta(minutes=YOUNG_MINUTES)
) -> Iterator[StagePod]:
    """Pods that go: those whose tasks have all ended, those older than a day whose run is not known, and those kept for
    a look that ended more than a day ago.

    Args:
        young: none of a task goes before this age.
    """
    for pod in pods:
        age = now - pod.created
        if pod.kept:
            if now - pod.ended > _KEPT:
                yield pod
        elif age > young:
            known = states(pod)
            if not known and age <= _UNKNOWN:
                log.warning("Pod %s stays: Airflow knows no run %s of %s.", pod.name, pod.run_id, pod.dag_id)
            elif all(state in _ENDED for state in known.values()):
                yield pod


def list_teams(settings: Settings, cluster: Cluster) -> list[str]:
    """Whose namespaces are looked into: the teams of the folder of pipelines, where this machine has it, and those that
    the cluster file names.

    Errors:
        ConfigError: there is neither.
    """
    folder = settings.pipelines
    found = {each.name for each in folder.iterdir() if each.is_dir()} if folder.is_dir() else set()
    if teams := sorted(found | set(cluster.teams)):
        return teams
    raise ConfigError(
        f"the janitor knows no team: {folder} (AIRLOOM_PIPELINES) is not on this machine, and the cluster file "
        "names none. Where pipelines come from a bucket or by git, name the teams there: spec.teams.NAME: {}."
    )


class JanitorOperator(BaseOperator):
    """Delete orphans in the namespaces of all teams. The task's value is their names."""

    def execute(self, context: Context) -> list[str]:
        """The run's parameter `older_than_minutes`: as `find_orphans` has `young`.

        Errors:
            ConfigError: the installation's runtime is not Kubernetes, or whose namespaces there are is not known.
            UnavailableError: some pods could not be deleted, or some namespaces not be looked into; in all the others
                was done what there was to do.
        """
        settings = load_settings()
        if settings.cluster_file is None:
            raise ConfigError("the janitor cleans a cluster, and AIRLOOM_CLUSTER_FILE is not set")
        cluster = load_cluster(settings.cluster_file)
        young = timedelta(minutes=context["params"].get("older_than_minutes", YOUNG_MINUTES))
        selector = build_selector(settings.installation)
        gone: list[str] = []
        left: list[str] = []
        away: set[Connection] = set()
        for connection, namespace in cluster.list_places(list_teams(settings, cluster)):
            if connection in away:  # it would not answer for this namespace either, and others wait
                left.append(f"namespace {namespace}")
                continue
            try:
                pods = PodClient(partial(open_api, connection), connection, self.log, _AWAY_SECONDS)
                found = ApiClient().sanitize_for_serialization(pods.list(namespace, selector))
            except Exception as error:  # another cluster's pods can be looked at all the same
                self.log.warning("Pods of %s cannot be listed: %s", namespace, error)
                left.append(f"namespace {namespace}")
                away.update({connection} if isinstance(error, UnavailableError) else ())
                continue
            for pod in find_orphans(map(_read_pod, found), _ask_airflow, datetime.now(UTC), young):
                self.log.info("Pod %s/%s of run %s of %s goes.", namespace, pod.name, pod.run_id, pod.dag_id)
                deleted = pods.delete(PodPlace(connection, namespace, pod.name, pod.uid))
                (gone if deleted else left).append(pod.name)
        if left:
            raise UnavailableError(f"not looked into, or not deleted; the log says why: {', '.join(left)}")
        return gone


def _read_pod(pod: Mapping[str, Any]) -> StagePod:
    metadata = pod["metadata"]
    annotations = metadata.get("annotations", {})
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    return StagePod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        dag_id=annotations.get(DAG_ANNOTATION, ""),
        run_id=annotations.get(RUN_ANNOTATION, ""),
        stages=tuple(annotations.get(STAGES_ANNOTATION, "").split()),
        created=created,
        ended=find_end(pod) or created,
        kept=KEPT_LABEL in metadata.get("labels", {}),
    )


def _ask_airflow(pod: StagePod) -> Mapping[str, str | None]:
    from airloom_airflow.speedups.task_states import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=pod.dag_id, run_ids=[pod.run_id], task_ids=list(pod.stages))
    return dict(states.get(pod.run_id, {}))
