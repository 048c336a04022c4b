"""What the supervisor says of itself: read whole, or said to be unreadable; never a guess."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airloom.cli import main
from airloom.embedded import processes
from airloom.embedded.addresses import Addresses
from airloom.embedded.runtime import Runtime
from airloom.embedded.state import PieceState, RuntimeState, read_state, state_path, write_state
from airloom.errors import ConfigError
from airloom.settings import load_settings

STATE = RuntimeState(
    pid=os.getpid(),
    started=processes.started_at(os.getpid()) or 0,
    phase="ready",
    addresses=Addresses("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"),
    reason="all is well",
    pieces={"mlflow": PieceState(pid=2, restarts=0)},
)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    write_state(tmp_path, STATE)
    assert read_state(tmp_path) == STATE
    assert STATE.alive
    assert [path.name for path in tmp_path.iterdir()] == ["runtime.json"]


def test_no_truncated_state_is_taken_for_one_or_for_none(tmp_path: Path) -> None:
    write_state(tmp_path, STATE)
    whole = state_path(tmp_path).read_bytes()
    for length in range(len(whole)):
        state_path(tmp_path).write_bytes(whole[:length])
        with pytest.raises(ConfigError, match="cannot be read"):
            read_state(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b"5",
        b"\xff",
        b"{}",
        json.dumps({"pid": None, "started": None, "phase": "ready", "addresses": {}, "pieces": {}}).encode(),
        json.dumps({"pid": "1", "started": 1, "phase": "ready", "addresses": {}, "pieces": []}).encode(),
    ],
)
@pytest.mark.parametrize("command", ["status", "down", "up"])
def test_a_command_says_that_the_state_cannot_be_read_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, content: bytes
) -> None:
    monkeypatch.setenv("AIRLOOM_HOME", str(tmp_path))
    state_path(tmp_path).write_bytes(content)
    assert main([command]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"airloom {command}: {tmp_path}/runtime.json cannot be read (")
    assert "end that process if there is one, and remove the file" in told
    state_path(tmp_path).unlink()
    assert Runtime(load_settings()).state is None
