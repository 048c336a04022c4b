"""Workers as pods of the test cluster: what Airflow's KubernetesExecutor needs there, and how it is configured.

The tests of KubernetesExecutor call it, and the bench of a cold pod. Not here: the pods of stages (`tests.cluster`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from tests.cluster.local.cluster import LocalCluster
from tests.images.builder import image_reference

NAMESPACE = "airflow"
"""Of the workers' pods."""
_RIGHTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: airflow}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: airloom-airflow, namespace: airflow}
rules:
  - {apiGroups: [""], resources: [pods], verbs: [create, get, list, watch, delete, patch]}
  - {apiGroups: [""], resources: [pods/log], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: airloom-airflow, namespace: airflow}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: airloom-airflow}
subjects: [{kind: User, name: airloom-airflow, apiGroup: rbac.authorization.k8s.io}]
"""
"""What the scheduler needs for its workers, beside Airflow's rights in a team's namespace."""


def prepare_workers(
    cluster: LocalCluster, folder: Path, kubeconfig: Path, environ: Mapping[str, str], *files: Path
) -> dict[str, str]:
    """Make the workers' namespace, with the scheduler's rights in it; gives variables of Airflow's other parts.

    Args:
        folder: the workers' pod template is written there.
        kubeconfig: by which the scheduler makes its workers.
        environ: the workers' variables, beside those of their image, `airflow`.
        files: of `folder`; workers have them at the same path.
    """
    cluster.kubectl("apply", "-f", "-", given=_RIGHTS)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "airloom", "namespace": NAMESPACE}}
    given = {path.name: path.read_text() for path in files}
    cluster.kubectl("apply", "-f", "-", given=json.dumps({**secret, "stringData": given}))
    template = folder / "worker.yaml"
    template.write_text(yaml.safe_dump(_build_template(environ, folder)))
    settings = {
        "KUBERNETES_EXECUTOR__NAMESPACE": NAMESPACE,
        "KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": template,
        "KUBERNETES_EXECUTOR__IN_CLUSTER": False,
        "KUBERNETES_EXECUTOR__CONFIG_FILE": kubeconfig,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 300,  # as workers have it
    }
    return {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}


def _build_template(environ: Mapping[str, str], folder: Path) -> dict[str, object]:
    worker = {
        "name": "base",
        "image": image_reference("airflow"),
        "imagePullPolicy": "Never",
        "env": [{"name": name, "value": value} for name, value in environ.items()],
        "volumeMounts": [{"name": "airloom", "mountPath": str(folder), "readOnly": True}],
    }
    volume = {"name": "airloom", "secret": {"secretName": "airloom"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker"},
        "spec": {"restartPolicy": "Never", "containers": [worker], "volumes": [volume]},
    }
