"""Where Airflow is looked for, and what is said where it is not there."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from airloom import __version__
from airloom.embedded.airflow_environment import find_airflow
from airloom.errors import ConfigError


def test_airflow_is_looked_for_in_the_environment_beside_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "airflow" / "bin" / "airflow"
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "stages"))
    assert find_airflow({}) == program


def test_the_commands_that_bring_airflow_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "stages"))
    with pytest.raises(ConfigError) as refused:
        find_airflow({})
    place = tmp_path / "airflow"
    assert f"{sys.executable} -m venv {place} && {place}/bin/pip install 'airloom-airflow=={__version__}'" in str(
        refused.value
    )


def test_the_commands_do_where_a_folder_has_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "my models" / "stages"))
    with pytest.raises(ConfigError) as refused:
        find_airflow({})
    command = str(refused.value).partition("Make it: ")[2].partition(" && ")[0]
    assert shlex.split(command)[-1] == str(tmp_path / "my models" / "airflow")


def test_a_wrong_variable_is_to_be_mended_and_brings_no_command() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere/airflow is not there\. Set AIRLOOM_AIRFLOW_BIN") as refused:
        find_airflow({"AIRLOOM_AIRFLOW_BIN": "/nowhere/airflow"})
    assert "pip install" not in str(refused.value)
