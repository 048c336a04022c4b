"""What of a cluster file Kubernetes would refuse is told with its place, before a pod is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.cli import main

CLUSTER = """\
apiVersion: airloom.io/v1
kind: Cluster
spec:
  images: {cpu: registry.example.org:5000/ml/stage-cpu:0.1@sha256:%s}
  clusters:
    other: {connection: {conn_id: x}, images: {cpu: ghcr.io/Ml/x}}
  profiles:
    large:
      memory: 2Gi
      memory_max: 4Gi
      image: localhost/stage_gpu:A.1-b
      affinity: {nodeAffinity: {}}
      tolerations: [{key: a, operator: Exists}]
      podTemplate:
        metadata: {annotations: {a: b}}
        spec:
          hostNetwork: true
          containers: [{name: stage, resources: {limits: {memory: 3Gi}}}]
""" % ("0" * 64)
CLUSTER = CLUSTER.replace("Ml/x", "ml/x")


@pytest.fixture(autouse=True)
def _no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRLOOM_CLUSTER_FILE", raising=False)


def validate(folder: Path, old: str = "", new: str = "") -> int:
    assert old in CLUSTER
    (folder / "cluster.yaml").write_text(CLUSTER.replace(old, new) if old else CLUSTER)
    return main(["validate", str(folder / "cluster.yaml")])


def test_a_file_that_kubernetes_takes_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path}/cluster.yaml: OK, the cluster file\n"


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("max: 4Gi", "max: 1Gi", "10:19: spec.profiles.large.memory_max", "less than the profile's memory, 2Gi"),
        ("memory_max: 4Gi", "cpu_limit: 500m", "10:18: spec.profiles.large.cpu_limit", "less than the profile's cpu"),
        ("stage_gpu:A", "stage gpu:A", "11:14: spec.profiles.large.image", "which no image is called"),
        ("ml/stage-cpu", "ml/Stage", "4:17: spec.images.cpu", "lower case"),
        ("ghcr.io/ml/x", "https://ghcr.io/x", "6:53: spec.clusters.other.images.cpu", "registry/repository:tag"),
        (
            "hostNetwork", "hostNetwrk", "17:11: spec.profiles.large.podTemplate.spec.hostNetwrk",
            "did you mean 'hostNetwork'?"
        ),
        ("hostNetwork: true", "hostNetwork: 1", "17:24: spec.profiles.large.podTemplate.spec.hostNetwork", "boolean"),
        ("{name: stage, ", "{", "18:24: spec.profiles.large.podTemplate.spec.containers.0", "'name' is a required"),
        ("nodeAffinity: {}", "nodeAffinty: {}", "12:18: spec.profiles.large.affinity.nodeAffinty", "'nodeAffinity'?"),
        ("key: a", "key: 1", "13:27: spec.profiles.large.tolerations.0.key", "'string'"),
    ],
)  # fmt: skip
def test_what_kubernetes_would_refuse_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, place: str, words: str
) -> None:
    assert validate(tmp_path, old, new) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"{tmp_path}/cluster.yaml:{place}: ")
    assert words in line
