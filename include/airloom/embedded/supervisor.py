"""`python -m airloom.embedded.supervisor`: the process above the pieces. It starts them, starts one again that ends,
and leaves nothing behind when it ends.

`runtime` starts it, in a session of its own. Its standard input is its lifeline: where the other end closes without
the word that lets it go on alone, its starter has died, and it stops. What descends from it stays its own even where a
piece dies (it is a child subreaper), so that stopping reaches every task and stage.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from types import FrameType

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses
from airloom.embedded.pieces import Piece, build_pieces
from airloom.embedded.state import PieceState, RuntimeState, log_path, state_path, write_state
from airloom.errors import AirloomError, UnavailableError
from airloom.settings import Settings, load_settings

LET_GO = b"!"
"""On standard input: the starter goes, the runtime stays."""

_TICK_SECONDS = 0.1
_START_LIMIT_SECONDS = 180
_GRACE_SECONDS = 10
_LONGEST_BACKOFF_SECONDS = 30
_STEADY_SECONDS = 60
_TAIL_LINES = 15

log = logging.getLogger("airloom.embedded.supervisor")


class _StopError(Exception):
    """Somebody asked to stop."""


@dataclass
class _Child:
    piece: Piece
    process: subprocess.Popen[bytes]
    started: float
    restarts: int = 0
    due: float | None = None
    """Ended: when to start it again."""


@dataclass
class Supervisor:
    """One runtime.

    Args:
        settings: the installation.
        addresses: of the pieces, free when they were chosen.
    """

    settings: Settings
    addresses: Addresses
    _children: dict[str, _Child] = field(default_factory=dict)
    _stopping: bool = False

    def __post_init__(self) -> None:
        pid = os.getpid()
        self._state = RuntimeState(pid, processes.started_at(pid) or 0, "starting", self.addresses)
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)

    def run(self) -> int:
        """Start, watch, stop; gives the exit status."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        self._report("starting")
        status = 0
        try:
            self._start()
            self._report("ready")
            self._watch()
        except _StopError:
            pass
        except AirloomError as error:
            log.error("%s", error)
            self._report("failed", str(error))
            status = 1
        finally:
            self._stop()
        if status == 0:
            state_path(self.settings.home).unlink(missing_ok=True)
        return status

    def _start(self) -> None:
        pieces = build_pieces(self.settings, self.addresses)
        deadline = time.monotonic() + _START_LIMIT_SECONDS
        for piece in (pieces.migration, *pieces.first):
            self._spawn(piece)
        self._report("starting", "making Airflow's database")
        migration = self._children[pieces.migration.name]
        while migration.process.returncode is None:
            self._tick()
            self._reap()
            self._fail_if_ended(deadline)
        del self._children[pieces.migration.name]
        waiting = [*pieces.first, *pieces.airflow]
        while waiting:
            names = [piece.name for piece in waiting]
            for piece in pieces.airflow:
                if piece.name not in self._children and piece.after not in names:
                    self._spawn(piece)
            self._report("starting", ", ".join(names))
            self._tick()
            self._reap()
            self._fail_if_ended(deadline)
            waiting = [piece for piece in waiting if piece.name not in self._children or not piece.ready()]

    def _watch(self) -> None:
        while True:
            self._tick()
            self._reap()
            now = time.monotonic()
            for child in list(self._children.values()):
                if child.process.returncode is not None and child.due is None:
                    steady = now - child.started > _STEADY_SECONDS
                    wait = 1.0 if steady else min(2.0**child.restarts, _LONGEST_BACKOFF_SECONDS)
                    child.due = now + wait
                    log.warning("%s; starting it again in %.0f s", self._describe_end(child, tail=False), wait)
                if child.due is not None and now >= child.due:
                    self._start_again(child)

    def _start_again(self, child: _Child) -> None:
        try:
            self._spawn(child.piece, child.restarts + 1)
        except OSError as error:
            log.error(
                "%s cannot be started: %s; trying again in %d s", child.piece.name, error, _LONGEST_BACKOFF_SECONDS
            )
            child.due = time.monotonic() + _LONGEST_BACKOFF_SECONDS
        self._report("ready")

    def _spawn(self, piece: Piece, restarts: int = 0) -> None:
        path = log_path(self.settings.home, piece.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if restarts else "wb") as output:
            process = subprocess.Popen(
                piece.command,
                env=dict(piece.environ),
                cwd=self.settings.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=processes.end_with_parent,  # this process has one thread
            )
        log.info("%s is process %d", piece.name, process.pid)
        self._children[piece.name] = _Child(piece, process, time.monotonic(), restarts)

    def _reap(self) -> None:
        """Learn who ended: pieces, and orphans that became ours."""
        by_pid = {child.process.pid: child for child in self._children.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if child := by_pid.get(pid):
                child.process.returncode = os.waitstatus_to_exitcode(status)

    def _fail_if_ended(self, deadline: float) -> None:
        for child in self._children.values():
            status = child.process.returncode
            if status is not None and not (child.piece.once and status == 0):
                raise UnavailableError(self._describe_end(child))
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"after {_START_LIMIT_SECONDS} s these are not ready: {self._state.reason}. Their logs are in "
                f"{log_path(self.settings.home, 'x').parent}"
            )

    def _describe_end(self, child: _Child, *, tail: bool = True) -> str:
        path = log_path(self.settings.home, child.piece.name)
        text = f"{child.piece.name} ended with status {child.process.returncode}; its log is {path}"
        if not tail:
            return text
        with contextlib.suppress(OSError):
            text += "\n" + "\n".join(path.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        return text

    def _tick(self) -> None:
        """Wait a moment; learn whether somebody asked to stop.

        Errors:
            _StopError: a signal came, or the starter has died.
        """
        if self._selector.get_map():
            for _ in self._selector.select(_TICK_SECONDS):
                self._selector.unregister(0)
                if os.read(0, 1) != LET_GO:
                    log.info("the starter has gone")
                    raise _StopError
        else:
            time.sleep(_TICK_SECONDS)
        if self._stopping:
            raise _StopError

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _report(self, phase: str, reason: str = "") -> None:
        state = replace(
            self._state,
            phase=phase,  # type: ignore[arg-type]
            reason=reason,
            pieces={name: PieceState(child.process.pid, child.restarts) for name, child in self._children.items()},
        )
        if state != self._state or phase == "starting":
            self._state = state
            try:
                write_state(self.settings.home, state)
            except OSError as error:  # a full disk: the pieces are looked after all the same
                log.error("the state is not written, and `airloom status` tells an older one: %s", error)

    def _stop(self) -> None:
        """End the pieces, then whatever still descends from this process."""
        if self._state.phase != "failed":
            self._report("stopping")
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            below = [child.process.pid for child in self._children.values() if child.process.returncode is None]
            if not below or number == signal.SIGKILL:
                below = processes.descendants(os.getpid())
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if self._wait_for_none():
                return
        while not self._wait_for_none():
            for pid in processes.descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _wait_for_none(self) -> bool:
        """Wait for all descendants to end; False when the time of grace is over."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            self._reap()
            if not processes.descendants(os.getpid()):
                return True
            time.sleep(_TICK_SECONDS / 2)
        return False


def main(arguments: list[str]) -> int:
    """Run with the addresses given; the installation comes from the environment."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return Supervisor(load_settings(), Addresses(*arguments)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
