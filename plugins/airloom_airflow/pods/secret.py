"""The Kubernetes Secret of one pod: values that Airflow has for its stages. Pure.

It is made once the pod is there, which waits for it behind a scheduling gate (`pod.SECRET_GATE`), and is owned by the
pod: Kubernetes' garbage collector takes it away with the pod. Nobody else's pod refers to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_secret(pod: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The manifest.

    Args:
        pod: `metadata` of the pod as the API server has it: its name, namespace, uid and labels.
        name: as the pod's variables refer to it.
        values: by the names of the variables.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": pod["namespace"],
            "labels": dict(pod["labels"]),
            # Without blockOwnerDeletion, which some clusters let only those set who may change the pod's finalizers.
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}],
        },
        "immutable": True,
        "type": "Opaque",
        "stringData": dict(values),
    }
