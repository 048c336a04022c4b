"""`runtime.json` in the home folder: what the supervisor says of itself, so that another process can find and stop it.

The supervisor alone writes it; commands read it.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses
from airloom.errors import ConfigError

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
    """Replace the state whole, also where the machine stops."""
    path = state_path(home)
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(json.dumps(asdict(state), indent=2))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_state(home: Path) -> RuntimeState | None:
    """The last state; None where there is none.

    Errors:
        ConfigError: there is one that cannot be read, and nothing can be said of what runs.
    """
    path = state_path(home)
    try:
        return _load_reader().validate_json(path.read_bytes(), strict=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors(include_url=False)[0]["msg"]
        raise ConfigError(
            f"{path} cannot be read ({reason}), so whether the runtime runs cannot be told. Look for its supervisor "
            "(`pgrep -af airloom.embedded.supervisor`), end that process if there is one, and remove the file."
        ) from error


@functools.cache
def _load_reader() -> TypeAdapter[RuntimeState]:
    return TypeAdapter(RuntimeState)


def log_path(home: Path, piece: str) -> Path:
    """A piece's log."""
    return home / "logs" / f"{piece}.log"
