"""The real stages in their real image, with objects in MinIO, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from tests.cluster.bucket import Bucket, start_minio
from tests.cluster.demo import write_secret
from tests.cluster.installation import (
    Installation,
    Run,
    prepare_cluster,
    set_pod_security,
    share_folders,
    start_airflow,
)
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.images.builder import build_image, image_reference

from airloom.adapters.s3 import S3ObjectStore
from airloom.protocol import StageResult

pytestmark = pytest.mark.timeout(300, func_only=True)

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}, team: ops}}
spec:
  retries: 4
  retry_delay_seconds: 1
  cache: false
  execution: {execution}
  data:
    sources:
      flowers:
        {{type: package, package: sklearn, path: datasets/data/iris.csv, skip_rows: 1,
         columns: [sepal_length, sepal_width, petal_length, petal_width, species]}}
  train: {{target: species, entrypoint: "patience:train", params: {{gate: {gate}}}}}
  evaluate: {{metrics: [accuracy_score]}}
  gates: {{thresholds: {{accuracy_score: {{min: 0.8}}}}}}
"""
ENTRYPOINT = """\
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression


def train(features, target, params):
    print("training waits for its gate", flush=True)
    while not Path(params["gate"]).exists():
        time.sleep(0.05)
    return LogisticRegression(max_iter=500).fit(features, target)
"""


@pytest.fixture(scope="module")
def real(
    local_cluster: LocalCluster, bucket_beside: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation of the real stage image."""
    folder = tmp_path_factory.mktemp("real")
    shared = folder / "shared"
    shared.mkdir()
    (shared / "patience.py").write_text(ENTRYPOINT)
    local_cluster.load_image(build_image("stage-cpu"))
    kubeconfig = prepare_cluster(local_cluster)
    set_pod_security(local_cluster, "privileged")
    write_secret(local_cluster, bucket_beside.keys)
    template = share_folders({"shared": shared})
    document = {
        "apiVersion": "airloom.io/v1",
        "kind": "Cluster",
        "spec": {
            "connection": {"kubeconfig": str(kubeconfig)},
            "images": {"cpu": image_reference("stage-cpu")},
            "secrets": ["s3"],
            "env": {"AWS_ENDPOINT_URL": bucket_beside.endpoint, "PYTHONPATH": str(shared), "AIRLOOM_LINEAGE_PATH": ""},
            "profiles": {"cpu-small": {"cpu": "250m", "memory": "1Gi", "podTemplate": template}},
        },
    }
    (folder / "cluster.yaml").write_text(yaml.safe_dump(document))
    pipelines = {
        execution: PIPELINE.format(name=execution, execution=execution, gate=shared / f"gate-{execution}")
        for execution in ("separate", "fused")
    }
    own = {"AIRLOOM_LISTEN": network.SERVER_ADDRESS}
    with start_airflow(local_cluster, folder, pipelines, bucket_beside, own) as installation:
        yield installation
    set_pod_security(local_cluster, "restricted")


def result(real: Installation, run: Run, stage: str) -> StageResult:
    [key] = [key for key in real.list_artifacts(run.pipeline) if key.endswith(f"/{stage}/result.json")]
    return StageResult.from_json(S3ObjectStore().read(f"{real.bucket.uri}/{key}"))


def test_the_object_store_may_be_away_at_the_end_of_a_stage(real: Installation, local_cluster: LocalCluster) -> None:
    """The stage waits for it, and is not run again."""
    run = real.start("separate")
    run.wait_for_task("train", "deferred", 120)
    real.cluster.wait(lambda: "training waits for its gate" in run.log("train"), "the training", 60)
    local_cluster.processes.stop("minio")
    try:
        (real.folder / "shared" / "gate-separate").touch()
        real.cluster.wait(lambda: "asking again" in run.log("train"), "the stage waits for the store", 120)
    finally:
        start_minio(local_cluster, real.bucket.keys)
    assert run.end(240) == "success"
    assert result(real, run, "register").facts["model_version"] == "1"
    assert run.task("train")["try_number"] == 1
    assert "Infrastructure loss" not in run.log("train")


def test_fused_stages_train_and_register_a_model_in_one_pod(real: Installation) -> None:
    (real.folder / "shared" / "gate-fused").touch()
    run = real.start("fused")
    assert run.end(240) == "success"
    assert result(real, run, "evaluate").metrics["accuracy_score"] > 0.8
    assert result(real, run, "register").facts["model_version"] == "1"
    assert all(run.task(stage)["try_number"] == 1 for stage in ("ingest", "train", "evaluate", "gate", "register"))
