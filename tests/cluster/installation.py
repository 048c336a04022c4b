"""An Airflow whose stages run as pods of a cluster on this machine, and the pipelines that its tests start."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.local.cluster import LocalCluster
from tests.images.builder import build_image, image_reference
from tests.unit.airloom_airflow import fake_stage

from airloom.embedded.airflow_api import AirflowApi
from airloom.embedded.runtime import Runtime
from airloom.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
TEAM = "ops"
NAMESPACE = f"airloom-{TEAM}"
AIRFLOW_USER = "airloom-airflow"
SMALL = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}, team: ops}}
spec:
  retries: {retries}
  retry_delay_seconds: 0
  compute: {compute}
  data:
    sources:
      rows: {{type: parquet, path: rows.parquet}}
  train: {{target: y, estimator: sklearn.linear_model.LogisticRegression}}
"""
"""Two stages before `register`: ingest, train, register."""


@dataclass(frozen=True)
class Installation:
    """A running Airflow on a cluster.

    Attributes:
        folder: shared with the pods, at the same path: artifacts, and files that a fake stage waits for.
    """

    cluster: LocalCluster
    folder: Path
    settings: Settings
    runtime: Runtime
    api: AirflowApi

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Pods of the team, by labels `airloom.io/<name>`."""
        selector = ",".join(f"airloom.io/{name}={value}" for name, value in labels.items())
        told = self.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json", "-l", selector)
        found: list[dict[str, Any]] = json.loads(told)["items"]
        return found


def prepare_cluster(cluster: LocalCluster, images: Mapping[str, Path]) -> Path:
    """Images on every node, the team's namespace, and a kubeconfig of exactly Airflow's rights."""
    for archive in images.values():
        cluster.load_image(archive)
    text = (ROOT / "helm" / "team-namespace.yaml").read_text().replace("TEAM", TEAM)
    cluster.kubectl("apply", "-f", "-", given=text)
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fake-stage", "namespace": NAMESPACE},
        "data": {"fake_stage.py": Path(fake_stage.__file__).read_text()},
    }
    cluster.kubectl("apply", "-f", "-", given=json.dumps(script))
    # hostPath is how these tests share a folder with pods; `restricted` forbids it.
    cluster.kubectl("label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged")
    return cluster.write_kubeconfig(AIRFLOW_USER)


def write_cluster_file(path: Path, kubeconfig: Path, folder: Path, profiles: Mapping[str, Any]) -> None:
    """Profiles whose pods run the fake stage, and share `folder`."""
    template = {
        "spec": {
            "volumes": [
                {"name": "shared", "hostPath": {"path": str(folder)}},
                {"name": "fake-stage", "configMap": {"name": "fake-stage"}},
            ],
            "containers": [
                {
                    "name": "stage",
                    "command": ["python3", "/fake/fake_stage.py", "-m", "airloom.stages"],
                    "volumeMounts": [
                        {"name": "shared", "mountPath": str(folder)},
                        {"name": "fake-stage", "mountPath": "/fake"},
                    ],
                }
            ],
        }
    }
    base = {"cpu": "100m", "memory": "64Mi", "node_loss_seconds": 3, "podTemplate": template}
    document = {
        "apiVersion": "airloom.io/v1",
        "kind": "Cluster",
        "spec": {
            "connection": {"kubeconfig": str(kubeconfig)},
            "images": {"cpu": image_reference("stage-trivial"), "gpu": image_reference("stage-trivial")},
            "image_pull_policy": "IfNotPresent",
            "profiles": {name: {**base, **profile} for name, profile in {"cpu-small": {}, **profiles}.items()},
        },
    }
    path.write_text(yaml.safe_dump(document))


@contextmanager
def run_installation(
    cluster: LocalCluster, folder: Path, profiles: Mapping[str, Any], pipelines: Mapping[str, str]
) -> Iterator[Installation]:
    """Start Airflow; stop it at the end.

    Args:
        pipelines: name → text.
    """
    images = {"stage-trivial": build_image("stage-trivial")}
    kubeconfig = prepare_cluster(cluster, images)
    shared = folder / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    write_cluster_file(folder / "cluster.yaml", kubeconfig, shared, profiles)
    for name, text in pipelines.items():
        file = folder / "pipelines" / TEAM / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    given = {
        "AIRLOOM_HOME": folder / "home",
        "AIRLOOM_PIPELINES": folder / "pipelines",
        "AIRLOOM_ARTIFACTS_URI": (shared / "artifacts").as_uri(),
        "AIRLOOM_RUNTIME": "kubernetes",
        "AIRLOOM_CLUSTER_FILE": folder / "cluster.yaml",
        "AIRLOOM_AIRFLOW_PORT": 0,
        "AIRLOOM_MLFLOW_PORT": 0,
        "AIRLOOM_GATEWAY_PORT": 0,
        "AIRLOOM_ENVIRONMENT": "",
    }
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in given.items()})
    try:
        settings = load_settings()
        with Runtime(settings) as runtime:
            yield Installation(cluster, shared, settings, runtime, runtime.api())
    finally:
        os.environ.clear()
        os.environ.update(before)
