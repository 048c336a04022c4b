"""What Airloom registers with Airflow. Found by the entry point `airflow.plugins` of this dist.

Loading it also imports what building DAGs needs: with `core.lazy_load_plugins` off, the scheduler does so before it
forks its workers, and a task starts warm. Only the web server pays for the web part. A task's links need no
registration: Airflow reads their names from the serialised DAG.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import Asset

from airloom_airflow.dag_factory.executors import list_bundles
from airloom_airflow.objects import warm_up


class AirloomPlugin(AirflowPlugin):
    """Airloom's plugin: the artifacts endpoint."""

    name = "airloom"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Import what every task of ours needs."""
        importlib.import_module("airloom_airflow.bundles.pipeline_file")
        importlib.import_module("airloom.protocol.launch")
        for bundle in list_bundles(ours=True):
            with contextlib.suppress(ImportError):  # Airflow says so where it opens the bundle
                importlib.import_module(str(bundle["classpath"]).rpartition(".")[0])
        Asset("airloom://loads/the/providers")  # at the first one Airflow loads what each says of assets' addresses
        if os.environ.get("AIRLOOM_RUNTIME") == "kubernetes":
            importlib.import_module("airloom_airflow.operators.stage_pod")
        warm_up(os.environ.get("AIRLOOM_ARTIFACTS_URI", ""))

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # Airflow only reads it
        """Built when the web server asks for them; other processes only load the plugin."""
        from airloom_airflow.ui.artifacts import build_app

        return [{"name": "airloom", "app": build_app(), "url_prefix": "/airloom"}]
