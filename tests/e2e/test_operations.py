"""Every `airloom` command of docs/operations.md, run as it stands there, on a running installation with a champion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest
from tests.e2e.conftest import ROOT, Installation

from airloom.embedded.runtime import spell

pytestmark = pytest.mark.timeout(300)  # the first test's has the training of a champion in it
PAGE = ROOT / "docs" / "operations.md"
STARTING_OR_STOPPING = {"airloom up", "airloom down"}
COMMANDS = [
    line.strip()
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def champion(installation: Installation) -> Installation:
    """The installation once its pipeline has a champion."""
    api = installation.api
    for family in ("train", "promote"):
        dag_id = f"examples__iris__{family}"
        api.wait_for_dag(dag_id, 60)
        known = [run["dag_run_id"] for run in api.runs(dag_id)]
        run_id = known[0] if known else api.trigger(dag_id, {}) if family == "train" else None
        run = api.wait_for_run(dag_id, run_id, 120) if run_id else api.wait_for_new_run(dag_id, set(), 60)
        assert api.wait_for_run(dag_id, run["dag_run_id"], 120)["state"] == "success"
    return installation


def test_the_page_has_commands_and_each_is_of_airloom() -> None:
    assert COMMANDS
    assert {command.split()[0] for command in COMMANDS} == {"airloom"}


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - STARTING_OR_STOPPING))
def test_a_command_of_the_page_does_as_it_is_told(champion: Installation, command: str) -> None:
    environ = {**os.environ, **spell(champion.settings)}
    arguments = shlex.split(command)[1:]
    told = subprocess.run(
        [sys.executable, "-m", "airloom", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.strip()
