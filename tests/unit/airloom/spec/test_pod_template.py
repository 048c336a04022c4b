"""What of a pod is Airloom's own, refused in a profile's podTemplate with its place; the rest is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.errors import SpecError
from airloom.spec.cluster import Cluster, load_cluster

TEMPLATE = """\
apiVersion: airloom.io/v1
kind: Cluster
spec:
  images: {cpu: x}
  profiles:
    p:
      podTemplate:
"""
FIRST_LINE = len(TEMPLATE.splitlines()) + 1


def load(folder: Path, template: str) -> Cluster:
    file = folder / "cluster.yaml"
    lines = (f"        {line}\n" for line in template.splitlines())
    file.write_text(TEMPLATE + "".join(lines))
    return load_cluster(file)


@pytest.mark.parametrize(
    ("template", "line", "path", "words"),
    [
        ("metadata: {name: mine}", 0, "metadata.name", "given 'mine', but name is Airloom's own: pods are named by"),
        ("metadata: {generateName: a-}", 0, "metadata.generateName", "is Airloom's own: pods are named by"),
        ("metadata: {namespace: default}", 0, "metadata.namespace", "or in spec.teams.<team>"),
        (
            "metadata:\n  labels:\n    a: b\n    airloom.io/team: other",
            3,
            "metadata.labels.airloom.io/team",
            "given 'other', but airloom.io/team is Airloom's own: Airloom finds its pods by it; give your labels names",
        ),
        (
            "metadata:\n  labels: {app.kubernetes.io/managed-by: helm}",
            1,
            "metadata.labels.app.kubernetes.io/managed-by",
            "is Airloom's own",
        ),
        (
            "metadata:\n  annotations: {airloom.io/run-id: x}",
            1,
            "metadata.annotations.airloom.io/run-id",
            "give your annotations names of your own, such as example.com/",
        ),
        ("metadata:", 0, "metadata", "given nothing (null); give a mapping"),
        ("metadata: {labels: null}", 0, "metadata.labels", "given nothing (null); give a mapping"),
        ("metadata: {annotations: [a]}", 0, "metadata.annotations", "given a list of 1; give a mapping"),
        (
            "spec: {restartPolicy: Always}",
            0,
            "spec.restartPolicy",
            "given 'Always', but restartPolicy is Airloom's own",
        ),
        ("spec: {restartPolicy: Never}", 0, "spec.restartPolicy", "leave it out"),
        (
            "spec:\n  containers:\n    - {name: proxy, args: [a]}\n    - {name: stage, args: [b]}",
            3,
            "spec.containers.1.args",
            "given a list of 1, but args is Airloom's own",
        ),
        (
            "spec: {containers: [{name: stage, terminationMessagePath: /tmp/end}]}",
            0,
            "spec.containers.0.terminationMessagePath",
            "the stage's answer is read there",
        ),
        ("kind: Pod", 0, "kind", "unknown key 'kind'; allowed: metadata, spec"),
    ],
)
def test_what_is_airlooms_own_is_refused_with_its_place(
    tmp_path: Path, template: str, line: int, path: str, words: str
) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, template)
    [finding] = raised.value.findings
    assert (finding.line, finding.path) == (FIRST_LINE + line, f"spec.profiles.p.podTemplate.{path}")
    assert words in finding.message


def test_the_rest_of_a_pod_is_taken(tmp_path: Path) -> None:
    template = """\
metadata:
  labels: {team.example/cost: "42", app.kubernetes.io/part-of: models}
  annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "true", app.kubernetes.io/name: free}
spec:
  dnsPolicy: Default
  initContainers: [{name: proxy, image: p, restartPolicy: Always, args: [run]}]
  containers: [{name: stage, command: [nice, python, -m, airloom.stages], env: [{name: A, value: b}]}]
"""
    given = load(tmp_path, template).profiles["p"].podTemplate
    assert given["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert given["metadata"]["labels"]["team.example/cost"] == "42"
