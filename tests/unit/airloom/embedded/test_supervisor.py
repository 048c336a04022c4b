"""The supervisor starts a piece only once the one that it needs is ready."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

from airloom.embedded.addresses import Addresses
from airloom.embedded.pieces import build_pieces
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
