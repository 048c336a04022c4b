"""The plugin is registered once, whichever way Airflow finds it; loading it loads what tasks need."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from airflow import plugins_manager

from airloom_airflow.plugin import AirloomPlugin

PLUGINS = Path(__file__).parents[3] / "plugins"
GIT_BUNDLE = "airloom_airflow.bundles.git.GitPipelineDagBundle"
TASK = """
import sys
from airloom_airflow.plugin import AirloomPlugin

AirloomPlugin.on_load()
before = {*sys.modules}
import airloom_airflow.bundles.git
from airflow.sdk import Asset
Asset("airloom://ops/small/model")
print(*sorted({*sys.modules} - before))
"""
"""What a task does with its bundle and its DAG, in a process that was forked after the plugin was loaded."""


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


def test_a_task_loads_nothing_anew_for_its_bundle_and_its_assets():
    bundle = {"name": "git", "classpath": GIT_BUNDLE, "kwargs": {"tracking_ref": "main", "repo_url": "/remote"}}
    environ = {**os.environ, "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle])}
    done = subprocess.run([sys.executable, "-c", TASK], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_a_bundle_that_cannot_be_loaded_takes_nothing_else_away(monkeypatch):
    bundle = {"name": "gone", "classpath": "airloom_airflow.bundles.gone.GoneBundle", "kwargs": {}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    AirloomPlugin.on_load()
