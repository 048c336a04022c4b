"""On an older Airflow, lets tests import what they use of Airflow's insides from where 3.3 has it.

`tests.unit.airloom_airflow.home` calls it, before any test is loaded. Only what is not of Airflow's public interface is
moved, which Airloom itself may not import (`tests/checks/airflow_public.py`): so it hides no fault of Airloom's.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def alias_moved() -> None:
    """Does nothing where all is in its place. The environment of Airflow must stand before."""
    if find_spec("airflow.dag_processing.dagbag") is None:
        sys.modules["airflow.dag_processing.dagbag"] = _build_dagbag()
        from airflow import plugins_manager
        from airflow.serialization import serialized_objects

        serialized_objects.DagSerialization = serialized_objects.SerializedDAG
        plugins_manager._get_plugins = _get_plugins


def _get_plugins() -> tuple[list[Any], dict[str, str]]:
    from airflow import plugins_manager

    plugins_manager.ensure_plugins_loaded()
    return plugins_manager.plugins, plugins_manager.import_errors


def _build_dagbag() -> ModuleType:
    from airflow.models import dagbag

    class DagBag(dagbag.DagBag):
        def __init__(self, *args: Any, bundle_name: str | None = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    class BundleDagBag(DagBag):
        pass

    module = ModuleType("airflow.dag_processing.dagbag")
    vars(module).update(DagBag=DagBag, BundleDagBag=BundleDagBag, sync_bag_to_db=dagbag.sync_bag_to_db)
    return module
