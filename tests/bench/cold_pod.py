"""How long a task takes to the first line of its own code where its pod is new, beside Airflow's way to do that.

Airloom's is the stage `ingest` of a pipeline: a task of LocalExecutor makes the stage's pod, and the stage's code
begins where its result says that it started. The bare pod is the same pod, asked for by a plain HTTPS request. The
peer's is a stock `@task` of KubernetesExecutor: its worker is the pod, and brings the DAG file by Airflow's git bundle;
the first line of its function notes the time. Both are in one Airflow, and their files in one git repository on this
machine. These two are timed from where Airflow's scheduler scheduled the task (`scheduled_when`: all that it waits for
is done), the bare pod from its request. The images lie on the node; the clock is one machine's.
"""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from uuid import uuid4

import yaml
from tests.bench.cluster import run_bare_pod
from tests.bench.figures import SPEEDUPS_OFF, Figure, build_without
from tests.cluster.demo import write_secret
from tests.cluster.installation import NAMESPACE, ROOT, prepare_cluster
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import run
from tests.executors.installation import Installation, Run, run_installation
from tests.executors.servers import Server
from tests.executors.shared import Shared, run_shared
from tests.executors.worker_pods import prepare_workers
from tests.images.builder import build_image, image_reference
from tests.s3_server import S3Server, require_packages
from tests.unit.airloom_airflow.git_remote import GitRemote
from tests.waiting import wait_until

from airloom.protocol import StageContext, StageResult
from airloom.protocol.launch import CONTEXT_VARIABLE

_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "triggerer-1")
_OURS, _STAGE = "ops__cold__train", "ingest"
_PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: cold, team: ops}
spec:
  cache: false
  data:
    sources:
      flowers:
        {type: package, package: sklearn, path: datasets/data/iris.csv, skip_rows: 1,
         columns: [sepal_length, sepal_width, petal_length, petal_width, species]}
  train: {target: species, estimator: sklearn.linear_model.LogisticRegression, params: {max_iter: 500}}
"""
_PEER, _TASK = "by_hand", "first_line"
_DAG_FILE = """\
import time

from airflow.sdk import DAG, task


@task(executor="KubernetesExecutor")
def first_line() -> float:
    return time.time()


with DAG("by_hand", schedule=None):
    first_line()
"""
_BUNDLES = {
    "airloom_airflow.bundles.git.GitPipelineDagBundle": "pipelines",
    "airflow.providers.git.bundles.git.GitDagBundle": "dags",
}
"""Class → folder of the repository."""
_ROUNDS = 6
_ROUNDS_WITHOUT = 3
_LIMIT_SECONDS = 1.5
_WAIT_SECONDS = 180
_POLL_SECONDS = 0.5
"""Each question costs the two cores some of what is measured on them."""
_Found = TypeVar("_Found")
_FIGURE = "a cold pod to the first line of its stage"


class _GitDaemon(Server):
    """A repository with the pipeline and the peer's DAG file, which git's own server gives to this machine alone."""

    @property
    def url(self) -> str:
        return f"git://{network.SERVER_ADDRESS}:{self.port}/remote"

    def prepare(self) -> None:
        remote = GitRemote(self.folder / "remote")
        dags = remote.folder / _BUNDLES["airflow.providers.git.bundles.git.GitDagBundle"]
        dags.mkdir()
        (dags / f"{_PEER}.py").write_text(_DAG_FILE)
        remote.commit({"ops/cold.yaml": _PIPELINE})

    def start(self) -> None:
        listening = (f"--listen={network.SERVER_ADDRESS}", f"--port={self.port}")
        program = Path(run("git", "--exec-path").strip()) / "git-daemon"
        self.spawn([program, *listening, f"--base-path={self.folder}", "--export-all"])

        def answers() -> bool:
            self.tell()
            with socket.socket() as probe:
                return probe.connect_ex((network.SERVER_ADDRESS, self.port)) == 0

        wait_until(answers, "git's server takes connections")


def measure_cold_pod() -> Iterator[Figure]:
    """The three take turns, after one of each that warms up; then Airloom's in an Airflow without speedups."""
    require_packages()
    archives = [build_image(name) for name in ("airflow", "stage-cpu")]
    cluster = LocalCluster(ROOT / "build" / "bench-cluster")
    cluster.down()
    with tempfile.TemporaryDirectory(prefix="airloom-bench-") as name:
        folder = Path(name)
        (folder / "shared").mkdir()
        try:
            cluster.up(nodes=1)
            for archive in archives:
                cluster.load_image(archive)
            with (
                S3Server(network.SERVER_ADDRESS) as s3,
                run_shared(folder / "shared", s3, "bucket", broker=False, listen=network.SERVER_ADDRESS) as shared,
                _GitDaemon() as git,
            ):
                variables = _prepare(cluster, folder, shared, git.url)
                with run_installation(
                    Installation(folder / "airflow", shared, folder / "disk", _PARTS, variables)
                ) as made:
                    with_them = yield from _measure(cluster, made)
                variables |= SPEEDUPS_OFF
                with run_installation(
                    Installation(folder / "without", shared, folder / "disk", _PARTS, variables)
                ) as made:
                    without = median([_time_stage(made) for _ in range(_ROUNDS_WITHOUT + 1)][1:])
                yield build_without(_FIGURE, without, with_them)
        finally:
            cluster.down()


def _prepare(cluster: LocalCluster, folder: Path, shared: Shared, repository: str) -> dict[str, str]:
    """Bring into the cluster what stages and workers need; gives the variables of Airflow's parts."""
    (folder / "disk" / "pipelines").mkdir(parents=True)
    kubeconfig = prepare_cluster(cluster)
    write_secret(cluster, {name: value for name, value in shared.s3.environ().items() if "FILE" not in name})
    stages = {
        "connection": {"kubeconfig": str(kubeconfig)},
        "namespace": NAMESPACE,
        "images": {"cpu": image_reference("stage-cpu")},
        "image_pull_policy": "Never",
        "secrets": ["s3"],
        "env": {"AIRLOOM_LINEAGE_PATH": ""},
        "profiles": {"cpu-small": {"cpu": "250m", "memory": "2Gi"}},
    }
    document = {"apiVersion": "airloom.io/v1", "kind": "Cluster", "spec": stages}
    (folder / "cluster.yaml").write_text(yaml.safe_dump(document))
    given = {"tracking_ref": "main", "git_conn_id": "repository", "refresh_interval": 300}
    bundles = [
        {"name": subdir, "classpath": classpath, "kwargs": {**given, "subdir": subdir}}
        for classpath, subdir in _BUNDLES.items()
    ]
    variables = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW_CONN_REPOSITORY": json.dumps({"conn_type": "git", "host": repository}),
    }
    of_workers = {
        **variables,
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{shared.addresses.airflow}/execution/",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",  # as in the other parts
    }
    return {
        **variables,
        **prepare_workers(cluster, folder, kubeconfig, of_workers),
        "AIRFLOW__CORE__EXECUTOR": "airloom_airflow.speedups.executor.LocalExecutor,KubernetesExecutor",
        "AIRLOOM_RUNTIME": "kubernetes",
        "AIRLOOM_CLUSTER_FILE": str(folder / "cluster.yaml"),
    }


def _measure(cluster: LocalCluster, installation: Installation) -> Generator[Figure, None, float]:
    """All three, in turns; returns Airloom's seconds."""
    bare = _find_pod(cluster, installation)
    stages, pods, tasks = [], [], []
    for _ in range(_ROUNDS + 1):
        stages.append(_time_stage(installation))
        pods.append(_time_bare_pod(cluster, installation, bare))
        tasks.append(_time_peer(installation))
    stage, pod, task = (median(seconds[1:]) for seconds in (stages, pods, tasks))
    yield Figure(_FIGURE, stage, "s", "a bare pod", pod, None)
    yield Figure(f"{_FIGURE}, beyond a bare pod", stage - pod, "s", "limit", _LIMIT_SECONDS, 1.0)
    yield Figure(_FIGURE, stage, "s", "KubernetesExecutor, git bundle", task, None)
    return stage


def _find_pod(cluster: LocalCluster, installation: Installation) -> dict[str, Any]:
    """The pod that Airloom makes for the stage."""
    training = installation.trigger(_OURS)
    selector = f"airloom.io/stage={_STAGE}"

    def find() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json", "-l", selector)
        )["items"]
        return found

    pod = _wait_for(find, "there is a pod of the stage")[0]
    _wait_for_end(training)
    return pod


def _time_stage(installation: Installation) -> float:
    training = installation.trigger(_OURS)
    scheduled = _wait_for_schedule(training, _STAGE, "deferred")  # it is scheduled a second time when the pod has ended
    _wait_for_end(training)
    return _read_start(installation, str(_read_value(training, _STAGE))) - scheduled


def _time_bare_pod(cluster: LocalCluster, installation: Installation, made: Mapping[str, Any]) -> float:
    """That of a pod as Airloom made one, for a run of its own."""
    run_id = f"bare-{uuid4()}"
    spec = {name: value for name, value in made["spec"].items() if name != "nodeName"}
    [container] = spec["containers"]
    environ = {each["name"]: each for each in container["env"]}
    context = StageContext.from_json(environ[CONTEXT_VARIABLE]["value"]).model_copy(update={"run_id": run_id})
    environ[CONTEXT_VARIABLE] = {"name": CONTEXT_VARIABLE, "value": context.to_json().decode()}
    spec["containers"] = [{**container, "env": [*environ.values()]}]
    metadata = {"name": run_id, "namespace": NAMESPACE}
    requested, _ = run_bare_pod(
        cluster.kubeconfig, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )
    return _read_start(installation, context.result_uri) - requested


def _read_start(installation: Installation, uri: str) -> float:
    """When the stage's code began in its pod, as its result has it; seconds since 1970."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    document = installation.shared.s3.client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return datetime.fromisoformat(StageResult.from_json(document).started_at).timestamp()


def _time_peer(installation: Installation) -> float:
    task = installation.trigger(_PEER)
    scheduled = _wait_for_schedule(task, _TASK, "success")
    _wait_for_end(task)
    return float(_read_value(task, _TASK)) - scheduled


def _read_value(dag_run: Run, task_id: str) -> Any:
    """What a task returned."""
    path = f"/api/v2/dags/{dag_run.dag_id}/dagRuns/{dag_run.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
    return dag_run.installation.get(path)["value"]


def _wait_for_schedule(dag_run: Run, task_id: str, state: str) -> float:
    """When the scheduler scheduled a task, once the task is in that state; seconds since 1970."""

    def find() -> str | None:
        task = dag_run.tasks[task_id]
        if task["state"] == "failed":
            raise RuntimeError(f"{task_id} of {dag_run.dag_id} failed")
        return str(task["scheduled_when"]) if task["state"] == state else None

    return datetime.fromisoformat(_wait_for(find, f"{task_id} of {dag_run.dag_id} is {state}")).timestamp()


def _wait_for_end(dag_run: Run) -> None:
    def find() -> str | None:
        state = str(dag_run.installation.api.run(dag_run.dag_id, dag_run.run_id)["state"])
        return state if state in ("success", "failed") else None

    if (state := _wait_for(find, f"{dag_run.dag_id} ends")) != "success":
        raise RuntimeError(f"{dag_run.dag_id} ended {state}")


def _wait_for(find: Callable[[], _Found | None], what: str) -> _Found:
    """What is found, once anything is."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (found := find()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_WAIT_SECONDS} s: {what}")
        time.sleep(_POLL_SECONDS)
    return found
