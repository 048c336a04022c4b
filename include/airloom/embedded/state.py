"""`runtime.json` in the home folder: what the supervisor says of itself, so that another process can find and stop it.

The supervisor alone writes it; commands read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses

Phase = Literal["starting", "ready", "failed", "stopping"]


@dataclass(frozen=True)
class PieceState:
    """One piece as the supervisor knows it: its process, and how often it had to be started again."""

    pid: int
    restarts: int


@dataclass(frozen=True)
class RuntimeState:
    """The runtime at one moment.

    Attributes:
        pid: the supervisor's.
        started: clock ticks after boot at which the supervisor started; with `pid` it names it for good.
        phase: how far it is.
        addresses: where the pieces listen.
        reason: why it failed; else what it waits for.
        pieces: by name.
    """

    pid: int
    started: int
    phase: Phase
    addresses: Addresses
    reason: str = ""
    pieces: dict[str, PieceState] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether that very supervisor still runs."""
        return processes.started_at(self.pid) == self.started


def state_path(home: Path) -> Path:
    """Where an installation's state is kept."""
    return home / "runtime.json"


def write_state(home: Path, state: RuntimeState) -> None:
    """Replace the state whole."""
    path = state_path(home)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(state), indent=2))
    part.replace(path)


def read_state(home: Path) -> RuntimeState | None:
    """The last state; None where there is none (or none that can be read)."""
    try:
        found = json.loads(state_path(home).read_text())
        pieces = {name: PieceState(**piece) for name, piece in found.pop("pieces").items()}
        return RuntimeState(**{**found, "addresses": Addresses(**found["addresses"]), "pieces": pieces})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def log_path(home: Path, piece: str) -> Path:
    """A piece's log."""
    return home / "logs" / f"{piece}.log"
