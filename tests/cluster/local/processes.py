"""The cluster's processes: each the leader of a session of its own, known by a file that outlives the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.local.programs import ClusterError

from airloom.embedded.processes import started_at

_GRACE_SECONDS = 8.0


@dataclass(frozen=True)
class Processes:
    """The processes whose files lie in a folder.

    Args:
        folder: of the cluster's state; logs lie in `logs/`.
    """

    folder: Path

    def start(self, name: str, command: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> None:
        """Start a process, unless it runs already."""
        if self.is_running(name):
            return
        self._pids.mkdir(parents=True, exist_ok=True)
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
        (self._pids / name).write_text(f"{process.pid} {started_at(process.pid)}")

    def stop(self, *names: str, number: int = signal.SIGTERM) -> None:
        """Signal the named processes' groups together, and wait until they are gone; the stubborn are killed."""
        found = {name: pid for name in names if (pid := self._find(name)) is not None}
        for pid in found.values():
            _signal(pid, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(self._find(name) for name in found):
            if time.monotonic() > deadline:
                for name in found:
                    if (pid := self._find(name)) is not None:
                        _signal(pid, signal.SIGKILL)
                deadline = time.monotonic() + _GRACE_SECONDS
            time.sleep(0.02)
        for name in names:
            (self._pids / name).unlink(missing_ok=True)

    def is_running(self, name: str) -> bool:
        return self._find(name) is not None

    def names(self) -> list[str]:
        """All that were started and not stopped."""
        return sorted(path.name for path in self._pids.iterdir()) if self._pids.is_dir() else []

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def require(self, *names: str) -> None:
        """
        Errors:
            ClusterError: one of them has ended; with its last words.
        """
        for name in names:
            if not self.is_running(name):
                words = self.log(name).read_text(errors="replace")[-1500:]
                raise ClusterError(f"{name} has ended; its log {self.log(name)} ends with:\n{words}")

    def memory_bytes(self) -> int:
        """Resident memory of all of them together."""
        total = 0
        for name in self.names():
            pid = self._find(name)
            if pid is not None:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total

    @property
    def _pids(self) -> Path:
        return self.folder / "pids"

    def _find(self, name: str) -> int | None:
        """The process's id, if it lives and is still the one that was started."""
        try:
            pid, started = map(int, (self._pids / name).read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if started_at(pid) == started else None


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
