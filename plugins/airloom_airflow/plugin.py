"""What Airloom registers with Airflow. Found by the entry point `airflow.plugins` of this dist.

Only the web server pays for the web part: elsewhere the plugin imports nothing. A task's links need no registration:
Airflow reads their names from the serialised DAG.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class AirloomPlugin(AirflowPlugin):
    """Airloom's plugin: the artifacts endpoint."""

    name = "airloom"

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # Airflow only reads it
        """Built when the web server asks for them; other processes only load the plugin."""
        from airloom_airflow.ui.artifacts import build_app

        return [{"name": "airloom", "app": build_app(), "url_prefix": "/airloom"}]
