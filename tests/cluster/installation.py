"""An Airflow whose stages run as pods of a cluster on this machine, and the pipelines that its tests start."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import yaml
from tests.cluster.bucket import Bucket
from tests.cluster.cluster import Cluster
from tests.cluster.local.programs import ClusterError
from tests.unit.airloom_airflow import fake_stage

from airloom.embedded.airflow_api import AirflowApi
from airloom.embedded.runtime import Runtime
from airloom.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
TEAM = "ops"
NAMESPACE = f"airloom-{TEAM}"
AIRFLOW_USER = "airloom-airflow"
FUSED = "  execution: fused\n"
"""Added to a pipeline's spec: its stages share a pod."""
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
"""Three stages: ingest, train, register."""


@dataclass(frozen=True)
class Installation:
    """A running Airflow on a cluster.

    Attributes:
        bucket: what Airflow and pods share.
        folder: its own.
    """

    cluster: Cluster
    bucket: Bucket
    folder: Path
    settings: Settings
    runtime: Runtime
    api: AirflowApi

    def start(self, pipeline: str, **conf: Any) -> Run:
        """Start the pipeline's training; `conf` tells the fake stages what to do."""
        dag_id = f"{TEAM}__{pipeline}__train"
        self.api.wait_for_dag(dag_id, 60)
        return Run(self, pipeline, dag_id, self.api.trigger(dag_id, {"params": conf} if conf else {}))

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Pods of the team, by labels `airloom.io/<name>`."""
        selector = ",".join(f"airloom.io/{name}={value}" for name, value in labels.items())
        told = self.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json", "-l", selector)
        found: list[dict[str, Any]] = json.loads(told)["items"]
        return found

    def wait_until_gone(self, **labels: str) -> None:
        """Waits until there is no such pod.

        Errors:
            AssertionError: which pods there are, of which runs, with the end of what `ingest` logged in each.
        """
        try:
            self.cluster.wait(lambda: not self.pods(**labels), "the pods are gone")
        except ClusterError as error:
            left = [pod["metadata"] for pod in self.pods(**labels)]
            runs = sorted({pod["annotations"]["airloom.io/run-id"] for pod in left})
            logs = [self.api.task_log(f"{TEAM}__{labels['pipeline']}__train", run, "ingest", 1)[-2000:] for run in runs]
            raise AssertionError("\n".join([str(error), *(pod["name"] for pod in left), *runs, *logs])) from error

    def list_artifacts(self, pipeline: str) -> list[str]:
        """Keys of the pipeline's objects."""
        _, _, prefix = self.settings.artifacts_uri.removeprefix("s3://").partition("/")
        return self.bucket.list(f"{prefix}/{TEAM}/{pipeline}/")


@dataclass(frozen=True)
class Run:
    """One run of a pipeline's training."""

    installation: Installation
    pipeline: str
    dag_id: str
    run_id: str

    def pod(self, stage: str, phase: str = "Running", other_than: str = "", seconds: float = 60) -> dict[str, Any]:
        """Waits for the stage's pod to be in that phase."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            pods = self.installation.pods(pipeline=self.pipeline, stage=stage)
            found[:] = [
                pod
                for pod in pods
                if pod["metadata"]["annotations"]["airloom.io/run-id"] == self.run_id
                and pod["status"].get("phase") == phase
                and "deletionTimestamp" not in pod["metadata"]
                and pod["metadata"]["name"] != other_than
            ]
            return bool(found)

        self.installation.cluster.wait(is_there, f"a pod of {stage} is {phase}", seconds)
        return found[0]

    def task(self, stage: str) -> dict[str, Any]:
        """The task, as Airflow tells it."""
        tasks = self.installation.api.task_instances(self.dag_id, self.run_id)
        return next(task for task in tasks if task["task_id"] == stage)

    def wait_for_task(self, stage: str, state: str, seconds: float = 60) -> None:
        self.installation.cluster.wait(lambda: self.task(stage)["state"] == state, f"{stage} is {state}", seconds)

    def end(self, seconds: float = 120) -> str:
        """Waits for the run's end; its state."""
        return str(self.installation.api.wait_for_run(self.dag_id, self.run_id, seconds)["state"])

    def log(self, stage: str, attempt: int = 1) -> str:
        return self.installation.api.task_log(self.dag_id, self.run_id, stage, attempt)


def prepare_cluster(cluster: Cluster) -> Path:
    """The team's namespace with the fake stage, and a kubeconfig of exactly Airflow's rights."""
    text = (ROOT / "helm" / "team-namespace.yaml").read_text().replace("TEAM", TEAM)
    cluster.kubectl("apply", "-f", "-", given=text)
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fake-stage", "namespace": NAMESPACE},
        "data": {"python": f"#!/usr/bin/python3 -S\n{Path(fake_stage.__file__).read_text()}"},
    }
    cluster.kubectl("apply", "-f", "-", given=json.dumps(script))
    return cluster.write_kubeconfig(AIRFLOW_USER)


def set_pod_security(cluster: Cluster, level: str) -> None:
    """Of the team's namespace, which is made `restricted`: that forbids `share_folders`, and `privileged` does not."""
    cluster.kubectl("label", "--overwrite", "namespace", NAMESPACE, f"pod-security.kubernetes.io/enforce={level}")


def share_folders(folders: Mapping[str, Path]) -> dict[str, Any]:
    """A pod template by which stages see folders of this machine, at the same path; by name."""
    return {
        "spec": {
            "volumes": [{"name": name, "hostPath": {"path": str(path)}} for name, path in folders.items()],
            "containers": [
                {
                    "name": "stage",
                    "volumeMounts": [{"name": name, "mountPath": str(path)} for name, path in folders.items()],
                }
            ],
        }
    }


def write_cluster_file(path: Path, kubeconfig: Path, image: str, bucket: Bucket, profiles: Mapping[str, Any]) -> None:
    """Profiles whose pods run the fake stage; in those of `fused` the real runner starts it."""
    shared = {
        "spec": {
            "volumes": [{"name": "fake-stage", "configMap": {"name": "fake-stage", "defaultMode": 0o755}}],
            "containers": [{"name": "stage", "volumeMounts": [{"name": "fake-stage", "mountPath": "/fake"}]}],
        }
    }
    template, fused = copy.deepcopy(shared), copy.deepcopy(shared)
    template["spec"]["containers"][0]["command"] = ["/fake/python", "-m", "airloom.stages"]
    fused["spec"]["containers"][0]["env"] = [{"name": "AIRLOOM_STAGE_PYTHON", "value": "/fake/python"}]
    base = {"cpu": "100m", "memory": "64Mi", "node_loss_seconds": 3, "podTemplate": template}
    all_profiles = {"cpu-small": {}, "fused": {"podTemplate": fused, "memory": "256Mi"}, **profiles}
    document = {
        "apiVersion": "airloom.io/v1",
        "kind": "Cluster",
        "spec": {
            "connection": {"kubeconfig": str(kubeconfig)},
            "images": {"cpu": image, "gpu": image},
            "env": {"AWS_ENDPOINT_URL": bucket.endpoint},
            "profiles": {name: {**base, **profile} for name, profile in all_profiles.items()},
        },
    }
    path.write_text(yaml.safe_dump(document))


@contextmanager
def run_installation(
    cluster: Cluster,
    image: str,
    bucket: Bucket,
    folder: Path,
    profiles: Mapping[str, Any],
    pipelines: Mapping[str, str],
    dag_files: Path | None = None,
) -> Iterator[Installation]:
    """Start an Airflow whose pods run the fake stage; stop it at the end.

    Args:
        image: docker/stage-trivial's, as the cluster's nodes find it.
        pipelines: name → text.
    """
    kubeconfig = prepare_cluster(cluster)
    bucket.open_to_all()
    write_cluster_file(folder / "cluster.yaml", kubeconfig, image, bucket, profiles)
    own = {"AIRLOOM_DAG_FILES": str(dag_files or "")}
    with start_airflow(cluster, folder, pipelines, bucket, own) as installation:
        yield installation


@contextmanager
def start_airflow(
    cluster: Cluster, folder: Path, pipelines: Mapping[str, str], bucket: Bucket, variables: Mapping[str, str]
) -> Iterator[Installation]:
    """An Airflow on free ports, by the cluster file `cluster.yaml` in `folder`; stopped at the end.

    Args:
        pipelines: name → text.
        variables: of the environment, beside those that every installation needs.
    """
    for name, text in pipelines.items():
        file = folder / "pipelines" / TEAM / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    given = {
        "AIRLOOM_HOME": str(folder / "home"),
        "AIRLOOM_PIPELINES": str(folder / "pipelines"),
        "AIRLOOM_ARTIFACTS_URI": f"{bucket.uri}/{uuid4()}",
        "AIRLOOM_RUNTIME": "kubernetes",
        "AIRLOOM_CLUSTER_FILE": str(folder / "cluster.yaml"),
        "AIRLOOM_ENVIRONMENT": "",
        **{f"AIRLOOM_{piece}_PORT": "0" for piece in ("AIRFLOW", "MLFLOW", "GATEWAY")},
        **bucket.variables,
        **variables,
    }
    with patch.dict(os.environ, given):
        settings = load_settings()
        with Runtime(settings) as runtime:
            yield Installation(cluster, bucket, folder, settings, runtime, runtime.api())


@contextmanager
def changed(installation: Installation, **settings: object) -> Iterator[None]:
    """The cluster file with other settings, for the length of a block."""
    file = installation.settings.cluster_file
    assert file is not None
    text = file.read_text()
    document = yaml.safe_load(text)
    document["spec"].update(settings)
    file.write_text(yaml.safe_dump(document))
    try:
        yield
    finally:
        file.write_text(text)
