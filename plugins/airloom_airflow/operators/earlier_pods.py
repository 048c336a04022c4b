"""Pods that were there before a try of a stage: which of them it may go on with. `stage_pod` calls it.

Either an earlier try left the pod when its worker or triggerer died, or a stage before started it for all of its group.
Nothing is deleted or marked here.
"""

from __future__ import annotations

from typing import Any

from kubernetes.client import V1Pod  # type: ignore[import-untyped]

from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.operators.pod_request import find_map_index
from airloom_airflow.pods.pod import (
    GROUP_LABEL,
    KEPT_LABEL,
    MAP_INDEX_ANNOTATION,
    MAX_TRIES_ANNOTATION,
    STAGES_ANNOTATION,
    build_selector,
    digest_group,
)


def find_pods(pods: PodClient, namespace: str, installation: str, ti: Any) -> list[V1Pod]:
    """Living and ended pods of the task's run that have its stage in them, oldest first; none that is kept for a look.

    Errors: as `PodClient.list`'s.
    """
    group = digest_group(installation, ti.dag_id, ti.run_id)
    selector = f"{build_selector(installation)},{GROUP_LABEL}={group},!{KEPT_LABEL}"
    found = [
        pod
        for pod in pods.list(namespace, selector)
        if pod.metadata.deletion_timestamp is None
        and ti.task_id in list_tasks(pod)
        and pod.metadata.annotations[MAP_INDEX_ANNOTATION] == str(find_map_index(ti))
    ]
    return sorted(found, key=lambda pod: pod.metadata.creation_timestamp)


def list_tasks(pod: V1Pod) -> tuple[str, ...]:
    """The ids of the tasks whose stages run in a pod, in its order."""
    return tuple(pod.metadata.annotations[STAGES_ANNOTATION].split())


def was_cleared(pod: V1Pod, stage: str, max_tries: int) -> bool:
    """Whether the task was cleared since one of its tries made the pod, or waited for it: its work is to be done again,
    whatever the pod has of it."""
    noted = pod.metadata.annotations.get(MAX_TRIES_ANNOTATION + stage)
    return noted is not None and noted != str(max_tries)
