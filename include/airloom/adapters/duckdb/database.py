"""Opens DuckDB's database files, each of which one process at a time may write to, and nobody read meanwhile.

Sources and the sink call it. Runs that meet at one file, such as those of a backfill, take turns: each waits here.
"""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from airloom.errors import UnavailableError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LOCK_SECONDS = 300.0
"""How long another process's lock is waited for."""
_PAUSE_SECONDS = 0.2
_LOCKED = "Could not set lock on file"

CONFIG: tuple[tuple[str, str | int | bool], ...] = (
    ("threads", 1),
    ("autoinstall_known_extensions", False),
    ("autoload_known_extensions", False),
)
"""One thread: rows keep their order, and a stage keeps to its share. Nothing is downloaded."""

log = logging.getLogger("airloom.adapters.duckdb")


def open_database(path: Path, name: str, *, read_only: bool) -> DuckDBPyConnection:
    """A connection to a database file, once no other process has it.

    Args:
        path: the file; it may be a secret, and is not told.
        name: what the file is, for messages.

    Errors:
        UnavailableError: another process held it all of `LOCK_SECONDS`. duckdb.Error: it cannot be opened.
    """
    started = time.monotonic()
    waiting = False
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=read_only, config=dict(CONFIG))
        except duckdb.IOException as error:
            if _LOCKED not in str(error):
                raise
            holder = _find_holder(error)
            if time.monotonic() - started > LOCK_SECONDS:
                raise UnavailableError(
                    f"{name} was held by {holder} for {LOCK_SECONDS:g} s: one process at a time can have a DuckDB "
                    "file that is written to. End that process, or have it close the file"
                ) from None
            if not waiting:
                log.info("%s is held by %s; waiting up to %g s for it", name, holder, LOCK_SECONDS)
                waiting = True
            time.sleep(_PAUSE_SECONDS)
        else:
            if waiting:
                log.info("%s is free after %.1f s", name, time.monotonic() - started)
            return connection


def _find_holder(error: duckdb.IOException) -> str:
    """The other process, as DuckDB names it."""
    found = re.search(r"PID (\d+)", str(error))
    return f"process {found[1]}" if found else "another process"
