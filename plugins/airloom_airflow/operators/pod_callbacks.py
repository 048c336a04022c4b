"""KubernetesPodOperator's callbacks, for a stage's pod, deferred or not. `stage_pod` calls it.

All but `on_pod_starting` and `progress_callback`, which would need the worker while the pod runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from kubernetes.client import V1ObjectMeta, V1Pod  # type: ignore[import-untyped]

from airloom.errors import ConfigError
from airloom_airflow.triggers.pod_watch import PodPlace

if TYPE_CHECKING:
    from airflow.sdk import Context


class PodCallbacks:
    """The callbacks of one task.

    Args:
        paths: classes of KubernetesPodOperatorCallback, by dotted path.
        operator: whose they are.
        client: Kubernetes' own, opened only where there is a callback.

    Errors:
        ConfigError: there is no such class.
    """

    def __init__(self, paths: Iterable[str], operator: Any, client: Callable[[], Any]) -> None:
        self._callbacks = [_load_class(path) for path in paths]
        self._operator = operator
        self._client = client

    def call(self, name: str, context: Context, **more: Any) -> None:
        """One of them, such as `on_pod_creation`."""
        for callback in self._callbacks:
            getattr(callback, name)(
                client=self._client(), mode=ExecutionMode.SYNC, operator=self._operator, context=context, **more
            )  # fmt: skip

    def read_pod(self, place: PodPlace, read: Callable[[PodPlace], V1Pod | None]) -> V1Pod | None:
        """The pod as it is now; where it is gone, what identifies it. None: nobody asks."""
        if not self._callbacks:
            return None
        gone = V1Pod(metadata=V1ObjectMeta(name=place.name, namespace=place.namespace, uid=place.uid))
        return read(place) or gone


def _load_class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"callbacks of the cluster file names {path!r}, which cannot be loaded: {error}") from error
