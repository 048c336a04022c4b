"""Stages as pods, beside stock KubernetesPodOperator: same cluster, image, stage and Airflow, in one run.

Stock stands as its documentation has it, on its defaults. A stage's time goes from the end of the stage before (or the
run's trigger) to its own end.
"""

from __future__ import annotations

import json
import shutil
import ssl
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean, median
from typing import Any
from uuid import uuid4

import httpx
import yaml
from tests.bench.figures import SPEEDUPS_OFF, Figure, build_without
from tests.cluster.bucket import start_minio
from tests.cluster.installation import NAMESPACE, SMALL, TEAM, Installation, run_installation, start_airflow
from tests.cluster.local.cluster import LocalCluster
from tests.images.builder import build_image, image_reference

from airloom.errors import PermanentError
from airloom.protocol import StageContext
from airloom.protocol.launch import CONTEXT_VARIABLE

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "plugins"))  # `pods` needs no Airflow, so the environment without it can build them

from airloom.spec.cluster import load_cluster  # noqa: E402
from airloom_airflow.pods.pod import TERMINATION_LOG, PodRequest, build_pod  # noqa: E402

_STAGES = ("ingest", "train", "register")
_FUSED = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: fused, team: ops}
spec:
  compute: fused
  execution: fused
  data:
    sources: {rows: {type: parquet, path: rows.parquet}}
    expectations: [expect_column_values_to_not_be_null: {column: y}]
  features: {views: {rows: {entity: id, columns: [a]}}}
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression}
  evaluate: {}
  test: {max_disagreement: 0.5}
  gates: {thresholds: {accuracy_score: {min: 0.5}}}
"""
"""Eight stages in one pod."""
_SCORE = """\
  score: {source: {type: parquet, path: rows.parquet}, sink: {type: parquet, path: scores.parquet}}
"""
"""Gives a pipeline a DAG of a single stage."""
_RUNS = 4
_AT_ONCE = 20
_STAGE = "stage as a pod, median"
_SHARED = "fused stage, of eight in a pod"
_TOGETHER = f"{_AT_ONCE} stages at once"
_WAITING = 3  # of four worker slots, which stock holds
_WAITING_SECONDS = 30.0
_LIMIT_SECONDS = 600
_EVENTS = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: airloom-airflow-events}
rules: [{apiGroups: [""], resources: [events], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: airloom-airflow-events}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: airloom-airflow-events}
subjects: [{kind: User, name: airloom-airflow, apiGroup: rbac.authorization.k8s.io}]
"""
"""What stock wants beside Airloom's rights: without it, it asks again and again, and is slower."""


def measure_cluster() -> Iterator[Figure]:
    """Bare pods, single stages, twenty at once, and what a running pod costs the API server."""
    cluster = LocalCluster(ROOT / "build" / "bench-cluster")
    cluster.down()
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folder = Path(name)
        try:
            cluster.up()
            cluster.load_image(build_image("stage-trivial"))
            bucket = start_minio(cluster, {"AWS_ACCESS_KEY_ID": "airloom", "AWS_SECRET_ACCESS_KEY": "of the bench"})
            stock = _Stock(folder / "dag-files", f"{bucket.uri}/stock", folder / "cluster.yaml")
            image = image_reference("stage-trivial")
            pipelines = {
                f"small{number}": SMALL.format(name=f"small{number}", compute="cpu-small", retries=1) + _SCORE
                for number in range(1, _AT_ONCE + 1)
            }
            pipelines["small"] = SMALL.format(name="small", compute="cpu-small", retries=1)
            pipelines["fused"] = _FUSED
            with run_installation(cluster, image, bucket, folder, {}, pipelines, stock.folder) as installation:
                cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", given=_EVENTS)
                stock.write({})
                known = yield from _measure(installation, stock)
            stock.write({})
            alone = {**SPEEDUPS_OFF, "AIRLOOM_DAG_FILES": str(stock.folder)}
            with start_airflow(cluster, folder, pipelines, bucket, alone) as installation:
                yield from _measure_without(installation, known)
        finally:
            cluster.down()


def _measure(installation: Installation, stock: _Stock) -> Generator[Figure, None, Mapping[str, float]]:
    """Ours beside stock. Returns ours by name: `_STAGE`, `_SHARED`, `_TOGETHER`."""
    api = installation.api
    chain, fused = f"{TEAM}__small__train", f"{TEAM}__fused__train"
    ours, stocks = _list_ours(), _list_stocks()
    chains = (chain, fused, "stock_sync_0", "stock_deferrable_0")
    for dag_id in (*chains, *ours, *stocks["sync"], *stocks["deferrable"]):
        api.wait_for_dag(dag_id, 180)
    for dag_id in chains:
        _time_stages(installation, dag_id)  # the first of each warms up
    bare = [_time_bare_pod(installation, stock) for _ in range(11)][1:]
    stages, sync, deferrable, shared = [], [], [], []
    for _ in range(_RUNS):
        shared.append(mean(_time_stages(installation, fused)))
        stages += _time_stages(installation, chain)
        sync += _time_stages(installation, "stock_sync_0")
        deferrable += _time_stages(installation, "stock_deferrable_0")
    yield Figure(_STAGE, median(stages), "s", "stock operator, sync", median(sync), 0.4)
    yield Figure(_STAGE, median(stages), "s", "stock, deferrable", median(deferrable), 0.4)
    yield Figure("stage beyond a bare pod", median(stages) - median(bare), "s", "limit", 1.5, 1.0)
    yield Figure(_SHARED, median(shared), "s", "stock operator, sync", median(sync), 0.12)
    together = _time_together(installation, ours)
    for mode, dags in stocks.items():
        peer = _time_together(installation, dags)
        yield Figure(_TOGETHER, together, "s", f"stock, {mode}", peer, 0.5)
    waiting = [f"{TEAM}__small{number}__train" for number in range(1, _WAITING + 1)]
    yield from _measure_waiting(installation, stock, {"ours": waiting, **stocks})
    return {_STAGE: median(stages), _SHARED: median(shared), _TOGETHER: together}


def _measure_without(installation: Installation, known: Mapping[str, float]) -> Iterator[Figure]:
    """Both in an Airflow without speedups: ours beside ours with them, and with them beside stock, as most have it."""
    chain, fused, ours, stocks = f"{TEAM}__small__train", f"{TEAM}__fused__train", _list_ours(), _list_stocks()
    chains = (chain, fused, "stock_sync_0")
    for dag_id in (*chains, *ours, *stocks["sync"], *stocks["deferrable"]):
        installation.api.wait_for_dag(dag_id, 180)
    for dag_id in chains:
        _time_stages(installation, dag_id)  # the first of each warms up
    stages, shared, sync = [], [], []
    for _ in range(_RUNS):
        shared.append(mean(_time_stages(installation, fused)))
        stages += _time_stages(installation, chain)
        sync += _time_stages(installation, "stock_sync_0")
    together = _time_together(installation, ours)
    yield Figure(_SHARED, known[_SHARED], "s", "stock operator and Airflow, sync", median(sync), 0.12)
    for mode, dags in stocks.items():
        peer = _time_together(installation, dags)
        yield Figure(_TOGETHER, known[_TOGETHER], "s", f"stock operator and Airflow, {mode}", peer, 0.5)
    for name, seconds in ((_STAGE, median(stages)), (_SHARED, median(shared)), (_TOGETHER, together)):
        yield build_without(name, seconds, known[name])


def _list_ours() -> list[str]:
    """DAGs of a single stage."""
    return [f"{TEAM}__small{number}__score" for number in range(1, _AT_ONCE + 1)]


def _list_stocks() -> dict[str, list[str]]:
    """The peer's, by its mode."""
    return {mode: [f"stock_{mode}_{number}" for number in range(1, _AT_ONCE + 1)] for mode in ("sync", "deferrable")}


def _time_stages(installation: Installation, dag_id: str) -> list[float]:
    started = time.time()
    run_id = installation.api.trigger(dag_id, {})
    run = installation.api.wait_for_run(dag_id, run_id, _LIMIT_SECONDS)
    if run["state"] != "success":
        raise RuntimeError(f"{dag_id} ended {run['state']}")
    ends = sorted(_moment(task["end_date"]) for task in installation.api.task_instances(dag_id, run_id))
    return [end - before for before, end in zip([started, *ends], ends, strict=False)]


def _trigger(installation: Installation, dag_id: str, conf: dict[str, Any]) -> str:
    """Start a run; SQLite may be locked for a moment while twenty are under way."""
    for _ in range(10):
        try:
            return installation.api.trigger(dag_id, conf)
        except PermanentError as error:
            refused = error
            time.sleep(1)
    raise refused


def _time_together(installation: Installation, dag_ids: list[str]) -> float:
    started = time.time()
    runs = [(dag_id, _trigger(installation, dag_id, {})) for dag_id in dag_ids]
    ended = [installation.api.wait_for_run(dag_id, run_id, _LIMIT_SECONDS) for dag_id, run_id in runs]
    for (dag_id, run_id), run in zip(runs, ended, strict=True):
        if run["state"] != "success":
            [task, *_] = installation.api.task_instances(dag_id, run_id)
            log = installation.api.task_log(dag_id, run_id, task["task_id"], task["try_number"])
            raise RuntimeError(f"{dag_id} ended {run['state']}:\n{log[-3000:]}")
    return max(_moment(run["end_date"]) for run in ended) - started


def _measure_waiting(installation: Installation, stock: _Stock, dags: dict[str, list[str]]) -> Iterator[Figure]:
    """What a pod that runs costs: requests to the API server, and worker slots."""
    requests, slots = {}, {}
    for name, dag_ids in dags.items():
        gate = installation.bucket.build_gate()
        conf = {"behaviour": {"ingest": "wait", "score": "wait"}, "gate_file": gate.uri}
        stock.write(conf)
        runs = [
            (dag_id, _trigger(installation, dag_id, {"params": conf} if name == "ours" else {}))
            for dag_id in dag_ids[:_WAITING]
        ]
        try:
            installation.cluster.wait(lambda: _count_running(installation) == _WAITING, "all pods run", 120)
            before = installation.cluster.count_requests()
            time.sleep(_WAITING_SECONDS)  # what is measured is this time
            requests[name] = (installation.cluster.count_requests() - before) / _WAITING / _WAITING_SECONDS * 60
            tasks = [task for run in runs for task in installation.api.task_instances(*run)]
            slots[name] = sum(task["state"] == "running" for task in tasks) / _WAITING
        finally:
            gate.open()
            for run in runs:
                installation.api.wait_for_run(*run, _LIMIT_SECONDS)
    for mode in ("sync", "deferrable"):
        yield Figure("requests a pod and minute", requests["ours"], "", f"stock, {mode}", requests[mode], 1 / 3)
    yield Figure("worker slots a pod holds", slots["ours"], "", "stock, sync", slots["sync"], 0.0)


def _count_running(installation: Installation) -> int:
    told = installation.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json")
    return sum(pod["status"].get("phase") == "Running" for pod in json.loads(told)["items"])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _open_kubernetes(kubeconfig: Path) -> httpx.Client:
    """Plain HTTPS to the API server, so that a bare pod's time holds no tool's."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return httpx.Client(base_url=cluster["server"], verify=context, timeout=60, trust_env=False)


def _time_bare_pod(installation: Installation, stock: _Stock) -> float:
    """Seconds from the request that creates a pod to its `Succeeded`."""
    pod = {**stock.build_pod("ingest", {}), "metadata": {"name": f"bare-{uuid4()}", "namespace": NAMESPACE}}
    requested, ended = run_bare_pod(installation.cluster.kubeconfig, pod)
    return ended - requested


def run_bare_pod(kubeconfig: Path, pod: Mapping[str, Any]) -> tuple[float, float]:
    """Create a pod by a plain HTTPS request, wait for its end, delete it.

    Args:
        pod: its manifest, with name and namespace.

    Returns:
        When it was asked for, and when it was seen to have succeeded; seconds since 1970.
    """
    name, path = pod["metadata"]["name"], f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
    with _open_kubernetes(kubeconfig) as client:
        client.get(path).raise_for_status()
        requested = time.time()
        made = client.post(path, json=pod).raise_for_status().json()
        query = {"watch": "1", "fieldSelector": f"metadata.name={name}",
                 "resourceVersion": made["metadata"]["resourceVersion"]}  # fmt: skip
        with client.stream("GET", path, params=query) as answer:
            for line in answer.iter_lines():
                phase = json.loads(line)["object"]["status"].get("phase")
                if phase == "Failed":
                    raise RuntimeError("a bare pod failed")
                if phase == "Succeeded":
                    break
        ended = time.time()
        client.delete(f"{path}/{name}")
    return requested, ended


@dataclass(frozen=True)
class _Stock:
    """The peer's DAG file, and the pods that its tasks run: those that Airloom would make.

    Args:
        folder: of the DAG file.
        artifacts_uri: where their results go.
        cluster_file: the installation's.
    """

    folder: Path
    artifacts_uri: str
    cluster_file: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "stock_dags.py").write_text("")

    def write(self, params: dict[str, Any]) -> None:
        """Have the stages behave as `params` say; tasks read their pods anew."""
        pods = {stage: self.build_pod(stage, params) for stage in _STAGES}
        told = {"at_once": _AT_ONCE, "namespace": NAMESPACE, "pods": pods,
                "kubeconfig": load_cluster(self.cluster_file).connection.kubeconfig}  # fmt: skip
        (self.folder / "stock.json").write_text(json.dumps(told))
        shutil.copy(Path(__file__).with_name("stock_dags.py"), self.folder)

    def build_pod(self, stage: str, params: dict[str, Any]) -> dict[str, Any]:
        """The manifest."""
        context = StageContext(
            team=TEAM, pipeline="stock", stage=stage, run_id="bench", attempt=1, spec={}, params=params,
            pipeline_uri=f"{self.artifacts_uri}/{TEAM}/stock",
        )  # fmt: skip
        request = PodRequest(
            installation="bench", team=TEAM, pipeline="stock", stage=stage, dag_id="stock", run_id="bench",
            task_id=stage, map_index=-1, try_number=1, task_instance="stock",
            arguments=(stage, "--pointer", TERMINATION_LOG),
            environ={CONTEXT_VARIABLE: context.to_json().decode()},
        )  # fmt: skip
        cluster = load_cluster(self.cluster_file)
        pod = build_pod(cluster, cluster.profile("cpu-small"), request)
        del pod["metadata"]["name"]
        pod["metadata"]["labels"] = {}
        return pod
