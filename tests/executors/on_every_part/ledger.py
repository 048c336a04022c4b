"""What tasks and triggers write down for the test, each entry a file in a folder that all parts share, and the way the
test holds them up: they wait for a file of a name.

A trigger must be importable where triggerers run, and never comes from a DAG bundle: this folder is on every part's
path, as an installed package would be.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

FOLDER = Path(os.environ["LEDGER"])
POLL_SECONDS = 0.1
_log = logging.getLogger(__name__)


def write_down(what: str) -> None:
    """One more entry of that name."""
    (FOLDER / f"{what}.{uuid.uuid4().hex}").write_text(os.environ["PART_NAME"])


def wait_for(name: str) -> None:
    """Hold the caller up until the test lets go."""
    while not (FOLDER / name).exists():
        time.sleep(POLL_SECONDS)


class LedgerTrigger(BaseTrigger):
    """Fires when the test lets go; logs a line when it starts, and one when it fires.

    Args:
        name: the file that is waited for.
        lines: how many more lines it logs, numbered, as it fires.
    """

    def __init__(self, name: str, lines: int = 0) -> None:
        super().__init__()
        self.name = name
        self.lines = lines

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__qualname__}", {"name": self.name, "lines": self.lines}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        part = os.environ["PART_NAME"]
        _log.info("LINE waiting in %s", part)
        write_down(f"{self.name}.watched")
        while not (FOLDER / self.name).exists():
            await asyncio.sleep(POLL_SECONDS)
        for number in range(self.lines):
            _log.info("LINE %d", number)
        _log.info("LINE let go in %s", part)
        yield TriggerEvent({"part": part})
