"""The chart, installed in a cluster of our own with every image already on its nodes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from tests.chart.helm import Release
from tests.cluster.conftest import GIVEN
from tests.cluster.installation import share_folders
from tests.cluster.local.cluster import LocalCluster, run_cluster
from tests.cluster.local.programs import run
from tests.images.builder import ROOT, build_image
from tests.standins.builder import build_standin, standin_reference

from airloom.demo.world import World
from airloom.embedded.airflow_api import AirflowApi

_MONTHS = (1, 2, 3)
_VOLUME_BYTES = "10Gi"
_DEFINITIONS = {
    "github.com/prometheus-operator/prometheus-operator": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "sigs.k8s.io/gateway-api": ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
}
"""Go module → files of it."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two nodes, the second of them the pool of stages, with Airloom's images and stand-ins of PostgreSQL and MinIO."""
    if os.environ.get(GIVEN):
        pytest.skip(f"images and volumes are put on its nodes by hand, which the cluster of {GIVEN} need not allow")
    stage = build_image("stage-cpu")
    archives = [stage, *map(build_image, ("airflow", "serve")), *map(build_standin, ("postgres", "minio"))]
    with run_cluster() as made:
        made.kubectl("label", "--overwrite", "node", "node1", "airloom.io/node-pool=system")
        for archive in archives:
            made.node(1).load_image(archive)
        made.node(2).load_image(stage)
        yield made


@pytest.fixture(scope="session")
def definitions(cluster: LocalCluster) -> None:
    """What ServiceMonitor, PrometheusRule and HTTPRoute are: their definitions lie in their Go modules."""
    module = Path(__file__).with_name("definitions")
    run("go", "mod", "download", cwd=module)
    for name, files in _DEFINITIONS.items():
        folder = Path(run("go", "list", "-m", "-f", "{{.Dir}}", name, cwd=module).strip())
        for file in files:
            cluster.kubectl("apply", "--server-side", "-f", str(folder / file))


@pytest.fixture(scope="session")
def volumes(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes for the bundled servers: the cluster has no storage class. Gives the folder that they lie in."""
    folder = tmp_path_factory.mktemp("volumes")
    for number in (1, 2):
        place = folder / f"volume-{number}"
        place.mkdir()
        place.chmod(0o777)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": place.name},
            "spec": {
                "capacity": {"storage": _VOLUME_BYTES},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(place)},
            },
        }
        cluster.kubectl("apply", "-f", "-", given=json.dumps(volume))
    return folder


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of flights, below a data root that stages see."""
    root = tmp_path_factory.mktemp("data")
    world = World(root / "build" / "landing" / "flights", tmp_path_factory.mktemp("world"))
    for month in _MONTHS:
        world.land(month)
    for path in (root, *root.rglob("*")):
        path.chmod(0o777)
    return root


@dataclass(frozen=True)
class Installed:
    """A release that is installed.

    Attributes:
        seconds: how long `helm install --wait` took.
    """

    release: Release
    seconds: float

    def secret(self, name: str) -> dict[str, str]:
        """A Secret's values."""
        [found] = [each for each in self.release.get("secrets") if each["metadata"]["name"] == name]
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    def api(self) -> AirflowApi:
        """Airflow, as its administrator."""
        return AirflowApi(self.release.address("api-server"), "admin", self.secret("airloom-keys")["admin-password"])

    def bucket(self) -> Any:
        """A client of the bundled object store."""
        keys = self.secret("airloom-objects")
        return boto3.client(
            "s3", endpoint_url=self.release.address("minio"), region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"], aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster, volumes: Path, landing: Path) -> Installed:
    """The chart, the flight pipeline in its bucket. Flights land in a folder, which `restricted` forbids to share."""
    profile = {
        "cpu": "250m", "memory": "1Gi", "memory_max": "3Gi", "node_pool": "cpu",
        "podTemplate": share_folders({"data": landing}),
    }  # fmt: skip
    values = {
        "images": {
            "tag": "dev", "pullPolicy": "Never",
            "postgresql": standin_reference("postgres"), "minio": standin_reference("minio"),
        },
        "postgresql": {"size": "1Gi"},
        "minio": {"size": "1Gi"},
        "nodeSelector": {"airloom.io/node-pool": "system"},
        "pipelines": {"refreshSeconds": 5},
        "cluster": {"env": {"AIRLOOM_DATA_ROOT": str(landing)}, "profiles": {"cpu-small": profile}},
        "teams": {"ops": {"podSecurity": "privileged"}},
    }  # fmt: skip
    release = Release(cluster, values)
    made = Installed(release, release.install())
    print(f"helm install --wait: {made.seconds:.0f} s")
    for name in ("defaults.yaml", "ops/flight_delay.yaml"):
        document = yaml.safe_load((ROOT / "dags" / "pipelines" / name).read_text())
        document["spec"]["cache"] = False  # each run's every stage is a pod
        made.bucket().put_object(Bucket="airloom", Key=f"pipelines/{name}", Body=yaml.safe_dump(document).encode())
    return made
