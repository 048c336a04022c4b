"""The plugin is registered once, whichever way Airflow finds it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from airflow import plugins_manager

from airloom_airflow.plugin import AirloomPlugin

PLUGINS = Path(__file__).parents[3] / "plugins"


def load_registration() -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("airloom_plugin", PLUGINS / "airloom_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def test_airflow_finds_it_by_its_entry_point_once():
    plugins, errors = plugins_manager._get_plugins()
    assert [plugin.name for plugin in plugins].count("airloom") == 1
    assert errors == {}


def test_the_plugins_folder_offers_it_only_where_the_entry_point_does_not(monkeypatch):
    assert "AirloomPlugin" not in load_registration()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    assert load_registration()["AirloomPlugin"] is AirloomPlugin
