"""Airflow in parts, each with a disk of its own: scheduler, DAG processor, triggerer, API server, Celery worker.

`installation` puts them together. A part has its own AIRFLOW_HOME, bundle storage, logs, pipeline files and data below
one folder, in which nothing of another part lies; what parts share is a server, or the folder of the object store. Not
here: what a part is told of the servers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from airloom.embedded import processes

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("airflow", "api-server"),
    "dag-processor": ("airflow", "dag-processor"),
    "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
    "triggerer": ("python", "-m", "airloom_airflow.speedups.triggerer", "--skip-serve-logs"),
    "worker": ("airflow", "celery", "worker", "--skip-serve-logs", "--concurrency", "4"),
}
"""Kind of part → program and its arguments."""


@dataclass
class Part:
    """One process of Airflow, and what descends from it.

    Args:
        name: `<kind>-<number>`; its hostname too.
        folder: its disk.
        programs: the folder in which the programs of Airflow's environment lie.
        environ: its whole environment.
    """

    name: str
    folder: Path
    programs: Path
    environ: Mapping[str, str]
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        return self.name.rpartition("-")[0]

    @property
    def log(self) -> Path:
        return self.folder / "output.log"

    @property
    def has_ended(self) -> bool:
        """Whether it was started and is no more."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start it, on whatever its disk holds."""
        self.starts += 1
        program, *arguments = COMMANDS[self.kind]
        own = ("--celery-hostname", f"{self.name}@%h") if self.kind == "worker" else ()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.programs / program), *arguments, *own],
                env=dict(self.environ),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=processes.end_with_parent,
            )

    def die(self) -> None:
        """As if its machine lost power: it and all that descends from it are killed at once."""
        if self._process is None:
            return
        for pid in self._freeze():
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Ask it to end, as a rolling update does; returns when it has."""
        assert self._process
        self._process.terminate()
        self._process.wait(timeout=60)
        self._process = None

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Inside the block neither it nor what descends from it runs; then all goes on where it was."""
        frozen = self._freeze()
        try:
            yield
        finally:
            for pid in frozen:
                _signal(pid, signal.SIGCONT)

    def tail(self) -> str:
        return f"{self.name}: {self.log.read_text(errors='replace')[-1500:]}"

    def _freeze(self) -> list[int]:
        assert self._process
        frozen: list[int] = []
        while fresh := {self._process.pid, *processes.descendants(self._process.pid)}.difference(frozen):
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
            frozen += fresh
        return frozen


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
