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
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from tests.cluster.bucket import Bucket, start_minio
from tests.cluster.installation import NAMESPACE, ROOT, prepare_cluster, set_pod_security, share_folders
from tests.cluster.local import network
from tests.cluster.local.cluster import LocalCluster
from tests.cluster.local.programs import ClusterError
from tests.images.builder import build_image, image_reference

from airloom.cli import demo

_STATE = ROOT / "build" / "cluster"
_SHARED = ("landing", "scores", "lineage")
"""Folders below build/ that pods see, at the same path: what comes in, what goes out, and the lineage file."""


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.demo", description=__doc__)
    parser.add_argument("--stop", action="store_true", help="take everything down at the end")
    options = parser.parse_args(argv)
    cluster = LocalCluster(_STATE)
    try:
        cluster.up(say=print)
        os.environ.update(prepare(cluster, ROOT))
        return demo.run(["--stop"] if options.stop else [])
    except ClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        if options.stop:
            cluster.down()


def prepare(cluster: LocalCluster, root: Path) -> dict[str, str]:
    """Bring up what real stages need on a cluster that is up; gives the environment of an installation on it.

    Args:
        root: what relative paths in pipeline files start from; pods see `_SHARED` of it.
    """
    keys = {"AWS_ACCESS_KEY_ID": "airloom", "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24)}
    bucket = start_minio(cluster, keys)
    archive = build_image("stage-cpu")
    print("loading the stage image into both nodes", flush=True)
    cluster.load_image(archive)
    kubeconfig = prepare_cluster(cluster)
    set_pod_security(cluster, "privileged")
    write_secret(cluster, keys)
    for name in _SHARED:
        folder = root / "build" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    lineage = root / "build" / "lineage" / "lineage.jsonl"
    lineage.unlink(missing_ok=True)
    lineage.touch()
    lineage.chmod(0o666)
    file = cluster.state / "cluster.yaml"
    file.write_text(yaml.safe_dump(build_cluster_file(kubeconfig, bucket, root, lineage)))
    return {
        **bucket.variables,
        "AIRLOOM_RUNTIME": "kubernetes",
        "AIRLOOM_CLUSTER_FILE": str(file),
        "AIRLOOM_ARTIFACTS_URI": f"{bucket.uri}/demo",
        "AIRLOOM_LISTEN": network.SERVER_ADDRESS,
        "AIRLOOM_LINEAGE_PATH": str(lineage),
    }


def write_secret(cluster: LocalCluster, keys: Mapping[str, str]) -> None:
    """The credentials, as pods refer to them."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": NAMESPACE}}
    cluster.kubectl("apply", "-f", "-", given=json.dumps({**secret, "stringData": {**keys}}))


def build_cluster_file(kubeconfig: Path, bucket: Bucket, root: Path, lineage: Path) -> dict[str, object]:
    """The installation's: one node pool, the shared folders, credentials by a Secret."""
    template = share_folders({name: root / "build" / name for name in _SHARED})
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
                "AWS_ENDPOINT_URL": bucket.endpoint,
                "AIRLOOM_DATA_ROOT": str(root),
                "AIRLOOM_LINEAGE_PATH": str(lineage),
                "NO_PROXY": network.SERVER_ADDRESS,
            },
            "profiles": {"cpu-small": profile},
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
