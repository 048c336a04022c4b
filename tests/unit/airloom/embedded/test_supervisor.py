"""The supervisor starts a piece only once the one that it needs is ready, and looks after them on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses
from airloom.embedded.pieces import build_pieces
from airloom.embedded.state import read_state
from airloom.settings import load_settings

PROGRAM = """\
import os, sys
from pathlib import Path
from airloom.embedded import supervisor
from airloom.embedded.addresses import Addresses
from airloom.embedded.pieces import Piece, Pieces
from airloom.settings import load_settings

folder = Path(sys.argv[1])

def build(*_):
    def piece(name, script, after="", once=False):
        imports = f"import time; from pathlib import Path; folder = Path({str(folder)!r})"
        command = (sys.executable, "-c", f"{imports}; {script}")
        return Piece(name, command, os.environ, (folder / name).exists, once=once, after=after)
    stay = "time.sleep(600)"
    look = "(folder / 'scheduler').write_text(str((folder / 'server').exists()))"
    return Pieces(
        piece("migration", "pass", once=True),
        (),
        (
            piece("scheduler", f"{look}; {stay}", "server"),
            piece("server", f"time.sleep(1); (folder / 'server').touch(); {stay}"),
        ),
    )

supervisor.build_pieces = build
sys.exit(supervisor.Supervisor(load_settings(), Addresses("a", "b", "c")).run())
"""


def test_a_piece_starts_only_once_what_it_needs_is_ready(tmp_path: Path) -> None:
    environ = {**os.environ, "AIRLOOM_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environ, stdin=subprocess.PIPE
    ) as supervisor:  # its input closes at the end, and it stops
        started = tmp_path / "scheduler"
        try:
            wait_until(lambda: started.exists() and started.read_text() != "", "the scheduler has started")
        finally:
            assert supervisor.stdin
            supervisor.stdin.close()
    assert started.read_text() == "True"


def test_airflows_scheduler_needs_its_api_server(tmp_path: Path) -> None:
    settings = load_settings({"AIRLOOM_HOME": str(tmp_path)})
    addresses = Addresses("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    pieces = build_pieces(settings, addresses, {"AIRLOOM_AIRFLOW_BIN": sys.executable})
    assert {piece.name: piece.after for piece in pieces.airflow if piece.after} == {
        "airflow-scheduler": "airflow-api-server"
    }


WORK = """\
import os, signal, sys, time
from pathlib import Path
from airloom.embedded import supervisor
from airloom.embedded.addresses import Addresses
from airloom.embedded.pieces import Piece, Pieces
from airloom.settings import load_settings

folder = Path(sys.argv[1])
imports = f"import os, time; from pathlib import Path; folder = Path({str(folder)!r})"

def piece(name, script, once=False):
    command = (sys.executable, "-c", f"{imports}; {script}")
    return Piece(name, command, os.environ, (folder / name).exists, once=once)

note = "path = folder / name; path.write_text(str(os.getpid()) + ' ' + (path.read_text() if path.exists() else ''))"
supervisor.build_pieces = lambda *_: Pieces(
    piece("migration", "pass", once=True),
    (
        piece("steady", f"name = 'steady'; {note}; time.sleep(600)"),
        piece("ending", f"name = 'ending'; {note}; [time.sleep(0.05) for _ in iter((folder / 'end').exists, True)]"),
    ),
    (),
)
sys.exit(supervisor.Supervisor(load_settings(), Addresses("a", "b", "c")).run())
"""


def test_a_full_disk_keeps_pieces_running_and_lets_them_be_stopped(tmp_path: Path) -> None:
    environ = {**os.environ, "AIRLOOM_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)], env=environ, stdin=subprocess.PIPE
    ) as supervisor:
        try:
            wait_until(lambda: (state := read_state(tmp_path)) is not None and state.phase == "ready", "it runs")
            (tmp_path / "runtime.part").symlink_to("/dev/full")  # whatever it writes of itself from now on
            (tmp_path / "end").touch()
            wait_until(lambda: len(started(tmp_path / "ending")) == 2, "the piece is started again")
            [steady] = started(tmp_path / "steady")
            assert processes.started_at(steady) is not None
        finally:
            assert supervisor.stdin
            supervisor.stdin.close()
    assert supervisor.returncode == 0
    assert processes.started_at(steady) is None


def started(path: Path) -> list[int]:
    """Processes of a piece, the newest first."""
    return [int(pid) for pid in path.read_text().split()]
