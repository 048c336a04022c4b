"""`python -m tests.cluster.demo [--stop]`: the flight demo with every stage a pod of the cluster on this machine.

`make demo RUNTIME=kubernetes` calls it. It brings up the cluster and MinIO, makes a bucket, a namespace and a cluster
file, and runs `airloom demo` as anybody with a cluster would. Only the flights land in a folder that pods share.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import boto3
import httpx
import yaml
from tests.cluster.installation import AIRFLOW_USER, NAMESPACE, ROOT, prepare_namespace, share_folders
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import ClusterError
from tests.cluster.local.servers import built_minio
from tests.images.builder import build_image, image_reference

from airloom.cli import demo

_STATE = ROOT / "build" / "cluster"
MINIO = f"http://{network.SERVER_ADDRESS}:9000"
BUCKET = "airloom"
_SHARED = ("landing", "scores", "lineage")
"""Folders of build/ that pods see, at the same path: what comes in, what goes out, and the lineage file."""


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.demo", description=__doc__)
    parser.add_argument("--stop", action="store_true", help="take everything down at the end")
    options = parser.parse_args(argv)
    cluster = LocalCluster(_STATE)
    try:
        prepare(cluster)
        return demo.run(["--stop"] if options.stop else [])
    except ClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if options.stop:
            cluster.down()


def prepare(cluster: LocalCluster) -> None:
    """Bring up what the demo needs, and set this process's environment for it."""
    cluster.up(say=print)
    keys = {"AWS_ACCESS_KEY_ID": "airloom", "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24)}
    start_minio(cluster, keys)
    archive = build_image("stage-cpu")
    print("loading the stage image into both nodes", flush=True)
    cluster.load_image(archive)
    prepare_namespace(cluster)
    write_secret(cluster, keys)
    for name in _SHARED:
        folder = ROOT / "build" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    lineage = ROOT / "build" / "lineage" / "lineage.jsonl"
    lineage.unlink(missing_ok=True)
    lineage.touch()
    lineage.chmod(0o666)
    file = _STATE / "cluster.yaml"
    file.write_text(yaml.safe_dump(build_cluster_file(cluster.write_kubeconfig(AIRFLOW_USER), lineage)))
    os.environ.update(
        keys,
        AWS_ENDPOINT_URL=MINIO,
        AIRLOOM_RUNTIME="kubernetes",
        AIRLOOM_CLUSTER_FILE=str(file),
        AIRLOOM_ARTIFACTS_URI=f"s3://{BUCKET}/demo",
        AIRLOOM_LISTEN=network.SERVER_ADDRESS,
        AIRLOOM_LINEAGE_PATH=str(lineage),
    )


def write_secret(cluster: LocalCluster, keys: dict[str, str]) -> None:
    """The credentials, as pods refer to them."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": NAMESPACE}}
    cluster.kubectl("apply", "-f", "-", given=json.dumps({**secret, "stringData": keys}))


def start_minio(cluster: LocalCluster, keys: dict[str, str]) -> None:
    """MinIO on the bridge that pods reach, with a bucket; its data goes with the cluster."""
    program = built_minio()
    cluster.processes.stop("minio")
    environ = {"MINIO_ROOT_USER": keys["AWS_ACCESS_KEY_ID"], "MINIO_ROOT_PASSWORD": keys["AWS_SECRET_ACCESS_KEY"],
               "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"}  # fmt: skip
    address = MINIO.removeprefix("http://")
    cluster.processes.start("minio", [program, "server", "--address", address, cluster.state / "minio"], environ)

    def answers() -> bool:
        cluster.processes.require("minio")
        try:
            return httpx.get(f"{MINIO}/minio/health/live", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    cluster.wait(answers, "MinIO answers", 30)
    s3 = boto3.client("s3", endpoint_url=MINIO, aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                      aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")  # fmt: skip
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)


def build_cluster_file(kubeconfig: Path, lineage: Path) -> dict[str, object]:
    """The installation's: one node pool, the shared folders, credentials by a Secret."""
    template = share_folders({name: ROOT / "build" / name for name in _SHARED})
    profile = {"cpu": "500m", "memory": "2Gi", "memory_max": "4Gi", "node_pool": "cpu", "podTemplate": template}
    return {
        "apiVersion": "airloom.io/v1",
        "kind": "Cluster",
        "spec": {
            "connection": {"kubeconfig": str(kubeconfig)},
            "images": {"cpu": image_reference("stage-cpu")},
            "image_pull_policy": "Never",
            "secrets": ["s3"],
            "env": {
                "AWS_ENDPOINT_URL": MINIO,
                "AIRLOOM_DATA_ROOT": str(ROOT),
                "AIRLOOM_LINEAGE_PATH": str(lineage),
                "NO_PROXY": network.SERVER_ADDRESS,
            },
            "profiles": {"cpu-small": profile},
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
