"""KubernetesExecutor on Postgres: every try of a task a pod of Airloom's image, and its stage a pod beside it.

Scheduler, DAG processor, triggerer and API server run on this machine, on disks of their own; pods have nothing of
theirs. Pipeline files and objects lie in a bucket. All addresses are the machine's own (`tests.cluster.local.network`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cluster.conftest import GIVEN
from tests.cluster.demo import write_secret
from tests.cluster.installation import NAMESPACE, prepare_cluster, set_pod_security, share_folders
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster, run_cluster
from tests.cluster.local.programs import run
from tests.executors import worker_pods
from tests.executors.flights import live_through
from tests.executors.installation import Installation, run_installation
from tests.executors.shared import Shared, run_shared
from tests.images.builder import build_image, image_reference
from tests.s3_server import S3Server, require_packages

pytestmark = pytest.mark.timeout(900, func_only=True)
_PARTS = ("api-server-1", "dag-processor-1", "scheduler-1", "triggerer-1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    if os.environ.get(GIVEN):
        pytest.skip(f"its workers call servers of this machine, which the cluster of {GIVEN} need not reach")
    with run_cluster(nodes=1) as made:
        for name in ("airflow", "stage-cpu"):
            made.load_image(build_image(name))
        yield made


@pytest.fixture(scope="module")
def installation(cluster: LocalCluster, disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    require_packages()
    names = ("shared", "airflow", "cluster")
    folders = {name: tmp_path_factory.mktemp(f"kubernetes-{name}") for name in names}
    with (
        S3Server(network.SERVER_ADDRESS) as s3,
        run_shared(folders["shared"], s3, "bucket", broker=False, listen=network.SERVER_ADDRESS) as shared,
    ):
        bundles = _upload_pipelines(shared, disk / "pipelines")
        variables = _prepare(cluster, folders["cluster"], shared, disk, bundles)
        with run_installation(Installation(folders["airflow"], shared, disk, _PARTS, variables)) as made:
            yield made


def test_the_flight_pipeline_becomes_a_served_champion(installation: Installation, cluster: LocalCluster) -> None:
    workers = live_through(installation, 600)  # a pod for each try, and after a deferral another
    pods = json.loads(cluster.kubectl("-n", worker_pods.NAMESPACE, "get", "pods", "-o", "json"))["items"]
    assert set(workers.values()) <= {pod["metadata"]["name"] for pod in pods}
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {image_reference("airflow")}


def _upload_pipelines(shared: Shared, pipelines: Path) -> str:
    """Put the pipeline files into a bucket; gives Airflow's setting of DAG bundles that finds them there."""
    shared.s3.client.create_bucket(Bucket="pipelines")
    for path in pipelines.rglob("*.yaml"):
        shared.s3.client.upload_file(str(path), "pipelines", path.relative_to(pipelines).as_posix())
    bundle = {"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle"}
    return json.dumps([{**bundle, "kwargs": {"pipelines": "s3://pipelines", "refresh_interval": 5}}])


def _prepare(cluster: LocalCluster, folder: Path, shared: Shared, disk: Path, bundles: str) -> dict[str, str]:
    """Bring into the cluster what workers and stages need; gives the variables of Airflow's other parts."""
    kubeconfig = folder / "kubeconfig"
    whole = run(
        cluster.kubectl_program, f"--kubeconfig={prepare_cluster(cluster)}", "config", "view", "--flatten", "--raw"
    )
    kubeconfig.write_text(whole.replace("https://127.0.0.1:", f"https://{network.SERVER_ADDRESS}:"))
    (folder / "cluster.yaml").write_text(yaml.safe_dump(_build_cluster_file(kubeconfig, shared, disk)))
    set_pod_security(cluster, "privileged")
    keys = {
        name: value for name, value in shared.s3.environ().items() if name.startswith("AWS_") and "FILE" not in name
    }
    write_secret(cluster, keys)
    variables = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles,
        "AIRLOOM_RUNTIME": "kubernetes",
        "AIRLOOM_CLUSTER_FILE": str(folder / "cluster.yaml"),
    }
    of_workers = {
        **keys,
        **variables,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{shared.addresses.airflow}/execution/",
        "AIRLOOM_ARTIFACTS_URI": shared.artifacts_uri,
        "AIRLOOM_TRACKING_URI": shared.addresses.mlflow,
        "AIRLOOM_GATEWAY_URL": shared.addresses.gateway,
        "AIRLOOM_LINEAGE_PATH": "",
    }
    files = (kubeconfig, folder / "cluster.yaml")
    return {
        **variables,
        **worker_pods.prepare_workers(cluster, folder, kubeconfig, of_workers, *files),
        "AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS": "False",
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",  # Airloom's image has no provider for it
    }


def _build_cluster_file(kubeconfig: Path, shared: Shared, disk: Path) -> dict[str, object]:
    """Stages see the folder in which flights land, and nothing else of this machine."""
    template = share_folders({"landing": disk / "build" / "landing"})
    return {
        "apiVersion": "airloom.io/v1",
        "kind": "Cluster",
        "spec": {
            "connection": {"kubeconfig": str(kubeconfig)},
            "namespace": NAMESPACE,
            "images": {"cpu": image_reference("stage-cpu")},
            "image_pull_policy": "Never",
            "secrets": ["s3"],
            "env": {"AIRLOOM_DATA_ROOT": str(disk), "AIRLOOM_LINEAGE_PATH": ""},
            "profiles": {"cpu-small": {"cpu": "250m", "memory": "2Gi", "podTemplate": template}},
        },
    }
