"""Waits for many pods at once as a triggerer does: every trigger a task of one event loop. Run where Airflow is.

    python waiting_program.py KUBECONFIG NAMESPACE COUNT

Makes the pods, and waits for all; prints what it took as JSON. Airflow's database has no part in it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter

from kubernetes_asyncio import client, config

from airloom.spec.cluster import Cluster, Connection, Limits, Profile
from airloom_airflow.pods.pod import TERMINATION_LOG, PodRequest, build_pod
from airloom_airflow.triggers.pod_watch import PodPlace
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place

_CREATORS = 20
_TICK_SECONDS = 0.05


def build(number: int) -> dict:
    cluster = Cluster.model_validate({"images": {"cpu": "stage"}})
    # kwok renews its nodes' leases late where two cores have all of this to do, and a node's pods would be taken away.
    profile = Profile(cpu="100m", memory="64Mi", nodeSelector={"type": "kwok"}, node_loss_seconds=600)
    request = PodRequest(
        installation="bench", team="ops", pipeline="many", stage="train", dag_id="many", run_id=str(number),
        task_id="train", map_index=-1, try_number=1, task_instance=str(number),
        arguments=("train", "--pointer", TERMINATION_LOG),
    )  # fmt: skip
    return build_pod(cluster, profile, request)


async def main(kubeconfig: str, namespace: str, count: int) -> None:
    settings = client.Configuration()
    await config.load_kube_config(kubeconfig, client_configuration=settings)
    settings.connection_pool_maxsize = _CREATORS
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lags: list[float] = []
    ticker = asyncio.create_task(tick(lags))
    started = time.monotonic()
    async with client.ApiClient(settings) as api_client:
        api = client.CoreV1Api(api_client)
        numbers = iter(range(count))
        waiting: list[asyncio.Task[str]] = []

        async def create() -> None:
            for number in numbers:
                pod = await api.create_namespaced_pod(namespace, build(number))
                place = PodPlace(Connection(kubeconfig=kubeconfig), namespace, pod.metadata.name, pod.metadata.uid)
                waiting.append(asyncio.create_task(wait(place)))

        await asyncio.gather(*(create() for _ in range(_CREATORS)))
        created = time.monotonic() - started
        ends = Counter(await asyncio.gather(*waiting))
        seconds = time.monotonic() - started
        ticker.cancel()
    lags.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {
                "ends": dict(ends),
                "created_seconds": created,
                "seconds": seconds,
                "memory_bytes": (peak - before) * 1024,
                "lag_p50": lags[len(lags) // 2],
                "lag_p99": lags[len(lags) * 99 // 100],
                "lag_max": lags[-1],
            }
        )
    )


async def wait(place: PodPlace) -> str:
    limits = Limits(scheduling_seconds=600).model_dump(mode="json")
    trigger = StagePodTrigger(place=dump_place(place), limits=limits, launch={}, stage="train", shared=False)
    async for event in trigger.run():
        state = event.payload["state"]
        return f"{state['ending']} {state['exit_code']} {state['message']}"
    return "no event"


async def tick(lags: list[float]) -> None:
    """How late the event loop comes to a task that wants to run every few milliseconds."""
    while True:
        due = time.monotonic() + _TICK_SECONDS
        await asyncio.sleep(_TICK_SECONDS)
        lags.append(time.monotonic() - due)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
