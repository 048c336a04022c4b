"""A library that is missing is told with the command that brings it to where it belongs."""

from __future__ import annotations

import shlex
import sys

import pytest

from airloom.errors import MissingExtraError, format_install


def test_the_command_is_of_this_environments_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my models/bin/python")
    command = str(MissingExtraError("feast", "feast")).partition("Install it with: ")[2]
    assert shlex.split(command) == ["/home/me/my models/bin/python", "-m", "pip", "install", "airloom[feast]"]


def test_airflows_environment_is_not_to_be_filled_with_what_conflicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: name)
    assert format_install("feast") == (
        "python -m pip install 'airloom[feast]', in the environment of stages: this one is Airflow's"
    )
