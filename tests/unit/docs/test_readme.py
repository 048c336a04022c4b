"""The README's commands are whole: each runs as it stands there, here or where docs/operations.md's are run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHEAP = {"init", "validate", "render", "schema"}
"""Subcommands that need no installation, and no minutes."""


def list_commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("airloom ")]


COMMANDS = list_commands(ROOT / "README.md")


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.split()[1] in CHEAP])
def test_a_command_does_as_it_stands_there(command: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dags", tmp_path / "dags")
    done = subprocess.run(
        [sys.executable, "-m", "airloom", *shlex.split(command)[1:]],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_others_are_run_on_an_installation() -> None:
    run = list_commands(ROOT / "docs" / "operations.md")  # by tests/e2e/test_operations.py, some with more arguments
    others = [line for line in COMMANDS if line.split()[1] not in CHEAP]
    assert others
    assert [line for line in others if not any(each.startswith(line) for each in run)] == []
