"""How Airflow's Kubernetes hooks reach a cluster of the cluster file. Pure; operators and triggers call it.

A connection travels in a trigger's payload: it holds names alone, and whoever uses it reads the kubeconfig, or asks
Airflow for the connection's secrets, on its own machine.
"""

from __future__ import annotations

from typing import Any

from airloom.spec.cluster import Connection


def build_hook_arguments(connection: Connection) -> dict[str, Any]:
    """Arguments of `KubernetesHook`; of `AsyncKubernetesHook`, which heeds no `config_file`, for a `conn_id`.

    The hook lays an argument that is not None over the Airflow connection's own: so of a `conn_id` nothing else is
    said. By `kubernetes_conn_id`, because `conn_id=None` means the connection `kubernetes_default` to it.
    """
    if connection.conn_id is not None:
        return {"kubernetes_conn_id": connection.conn_id}
    return {
        "kubernetes_conn_id": None,
        "in_cluster": connection.in_cluster,
        "config_file": connection.kubeconfig,
        "cluster_context": connection.context,
    }
