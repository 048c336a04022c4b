"""A library that is missing is told with the command that brings it to where it belongs."""

from __future__ import annotations

import shlex
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from airloom.errors import MissingExtraError, format_install


def test_the_command_is_of_this_environments_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my models/bin/python")
    command = str(MissingExtraError("feast", "feast")).partition("Install it with: ")[2]
    assert shlex.split(command) == ["/home/me/my models/bin/python", "-m", "pip", "install", "airloom[feast]"]


def test_airflows_environment_is_not_to_be_filled_with_what_conflicts(monkeypatch: pytest.MonkeyPatch) -> None:
    airflow_side = ModuleType("airloom_airflow")
    airflow_side.__spec__ = ModuleSpec("airloom_airflow", None)
    monkeypatch.setitem(sys.modules, "airloom_airflow", airflow_side)
    assert format_install("feast") == (
        "python -m pip install 'airloom[feast]', in the environment of stages: this one is Airflow's"
    )
