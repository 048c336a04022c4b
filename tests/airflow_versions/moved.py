"""On an older Airflow, lets tests import what they use of Airflow's insides from where 3.3 has it.

`tests.unit.airloom_airflow.home` calls it, before any test is loaded. Only what is not of Airflow's public interface is
moved, which Airloom itself may not import (`tests/checks/airflow_public.py`): so it hides no fault of Airloom's.
"""

from __future__ import annotations

import copy
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def alias_moved() -> None:
    """Does nothing where all is in its place. The environment of Airflow must stand before."""
    _alias_names()
    if find_spec("airflow.dag_processing.dagbag") is None:
        sys.modules["airflow.dag_processing.dagbag"] = _build_dagbag()
        from airflow import plugins_manager
        from airflow.serialization import serialized_objects

        serialized_objects.DagSerialization = serialized_objects.SerializedDAG
        plugins_manager._get_plugins = _get_plugins


def _alias_names() -> None:
    from airflow.sdk.definitions.param import ParamsDict

    if not hasattr(ParamsDict, "deep_merge"):
        ParamsDict.deep_merge = _merge
    from airflow.dag_processing.bundles import base

    if not hasattr(base, "unpack_bundle_version"):  # a version is its name alone before 3.3
        base.unpack_bundle_version = lambda version, _: (version, None)
    if find_spec("airflow.triggers.callback") is None:
        from airflow import exceptions
        from airflow.sdk import exceptions as public
        from airflow.triggers import deadline

        for name in ("AirflowFailException", "ParamValidationError", "TaskDeferred"):
            setattr(public, name, getattr(exceptions, name))
        callback = ModuleType("airflow.triggers.callback")
        vars(callback).update(CallbackTrigger=deadline.DeadlineCallbackTrigger)
        sys.modules["airflow.triggers.callback"] = callback


def _merge(params: Any, conf: dict[str, Any]) -> Any:
    merged = copy.deepcopy(params)
    merged.update(conf)
    return merged


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
