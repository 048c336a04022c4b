"""`airloom` itself: its exit status when the reader of its output goes, and `make status` where nothing runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airloom.cli import main

ROOT = Path(__file__).parents[4]
IRIS = ROOT / "dags" / "pipelines" / "examples" / "iris.yaml"


def lose_reader(*command: str, read_bytes: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `airloom …` into a pipe whose reader goes after so many bytes."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "airloom", *command], stdout=writing, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writing)
        if read_bytes:
            os.read(reading, read_bytes)
        os.close(reading)
        assert process.stderr
        errors = process.stderr.read()
    return subprocess.CompletedProcess(command, process.returncode, "", errors)


@pytest.mark.parametrize(
    "command",
    [
        ("render", str(IRIS)),
        ("schema",),
        ("--help",),
        ("status",),
    ],
)
def test_a_reader_that_goes_ends_a_command_as_it_ends_other_tools(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRLOOM_HOME", str(tmp_path))
    ended = lose_reader(*command)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_make_status_of_an_idle_installation_is_no_error(tmp_path: Path) -> None:
    command = ["make", "-s", "status", f"DEMO_HOME={tmp_path / 'demo'}"]
    environ = {**os.environ, "AIRLOOM_HOME": str(tmp_path / "home")}
    told = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [f"{tmp_path / 'home'}: nothing runs", f"{tmp_path / 'demo'}: nothing runs"]


def test_airflows_command_needs_the_embedded_airflow_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRLOOM_HOME", str(tmp_path))
    assert main(["airflow", "pools", "list"]) == 1
    assert capsys.readouterr().err == (f"airloom airflow: nothing runs in {tmp_path}; start it with `airloom up`\n")


def test_a_schemas_help_shows_nothing_that_only_airlooms_own_sources_need(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "--help"])
    assert "--kind" in (told := capsys.readouterr().out)
    assert "--publish" not in told


def test_a_library_that_lacks_is_told_and_a_module_of_our_own_is_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*sys.modules]:
        if name.startswith("airloom.cli.doctor"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "airloom.diagnosis", None)
    with pytest.raises(ModuleNotFoundError):
        main(["doctor"])
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "airloom.cli.schema", raising=False)
    monkeypatch.setitem(sys.modules, "argparse", None)
    assert main(["schema"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"airloom schema: argparse is not installed in the environment of {sys.executable}; ")
