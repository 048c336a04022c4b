"""Gives Airflow's database tasks that wait for pods, as operators that deferred left them. Run where Airflow is.

    python -m tests.bench.seed_program DAG_FOLDER KUBECONFIG NAMESPACE COUNT

Makes the pods, then one mapped task instance and one trigger for each. No scheduler runs: what triggers hand over stays
as `scheduled`, and is counted.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk import timezone
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from kubernetes_asyncio import client, config
from tests.bench.waiting_program import build

from airloom.spec.cluster import Connection, Limits
from airloom_airflow.triggers.pod_watch import PodPlace
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place

DAG_ID, RUN_ID = "many", "bench"
_CREATORS = 20


async def create_pods(kubeconfig: str, namespace: str, count: int) -> list[PodPlace]:
    settings = client.Configuration()
    await config.load_kube_config(kubeconfig, client_configuration=settings)
    settings.connection_pool_maxsize = _CREATORS
    places = []
    async with client.ApiClient(settings) as api_client:
        api = client.CoreV1Api(api_client)
        numbers = iter(range(count))

        async def create() -> None:
            for number in numbers:
                pod = await api.create_namespaced_pod(namespace, build(number))
                places.append(
                    PodPlace(Connection(kubeconfig=kubeconfig), namespace, pod.metadata.name, pod.metadata.uid)
                )

        await asyncio.gather(*(create() for _ in range(_CREATORS)))
    return places


def write_dag(folder: Path) -> None:
    """Into Airflow's database, as the DAG processor does."""
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(str(folder), bundle_path=folder, bundle_name="bench")
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "bench", bundle_version=None)


def defer(places: list[PodPlace]) -> None:
    """A task instance and a trigger for each pod."""
    limits = Limits(scheduling_seconds=600).model_dump(mode="json")
    now = timezone.utcnow()
    with create_session() as session:
        [task] = SerializedDagModel.get_dag(DAG_ID, session=session).tasks
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        run = DagRun(
            dag_id=DAG_ID, run_id=RUN_ID, run_after=now, start_date=now, run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING, triggered_by=DagRunTriggeredByType.TEST,
        )  # fmt: skip
        session.add(run)
        session.flush()
        for number, place in enumerate(places):
            trigger = Trigger.from_object(
                StagePodTrigger(place=dump_place(place), limits=limits, launch={}, stage="train", shared=False)
            )
            session.add(trigger)
            session.flush()
            instance = TaskInstance(task, run_id=RUN_ID, map_index=number, dag_version_id=version.id)
            instance.state, instance.trigger_id, instance.try_number = TaskInstanceState.DEFERRED, trigger.id, 1
            instance.start_date, instance.next_method, instance.next_kwargs = now, "resume", {}
            instance.trigger_timeout = now + timedelta(hours=1)
            session.add(instance)


if __name__ == "__main__":
    write_dag(Path(sys.argv[1]))
    defer(asyncio.run(create_pods(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
