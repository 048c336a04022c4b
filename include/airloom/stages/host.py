"""`python -m airloom.stages.host --socket PATH`: the warm stage host. It has loaded what stages use, and forks one
child per stage, so that a stage starts in milliseconds. `airloom.protocol.launch` is its client.

It has one thread, and none of what it loads may start another: a fork copies only the thread that calls it. A child is
its own session with the caller's environment, folder and output, and runs the same `runner.main` as a fresh process. It
does not choose adapters, and it keeps nothing between stages.
"""

from __future__ import annotations

import argparse
import array
import atexit
import contextlib
import gc
import importlib
import json
import logging
import os
import random
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType

import airloom.adapters
import airloom.stages
from airloom.protocol.launch import GRACE_SECONDS
from airloom.stages.lifeline import die_with
from airloom.stages.runner import main as run_stage
from airloom.telemetry import switch_off
from airloom.type_checks import leave_out_type_checks

_VENDORS = (
    "duckdb",
    "evidently",
    "feast",
    "great_expectations",
    "mlflow.sklearn",
    "mlflow.tracking",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
)

log = logging.getLogger("airloom.stages.host")


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m airloom.stages.host", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen at; its folder is made 0700")
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    switch_off(os.environ)
    leave_out_type_checks()
    started = time.monotonic()
    preload()
    log.info("loaded in %.1f s; listening at %s", time.monotonic() - started, arguments.socket)
    with contextlib.closing(StageHost(arguments.socket)) as host:
        host.serve()
    return 0


def preload() -> None:
    """Load the adapters, the stages and the vendors' heavy modules. What cannot be loaded is told and left out."""
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")  # pyarrow's allocator has one else
    threads = count_threads()
    for name in [*_VENDORS, *_find_modules(airloom.adapters), *_find_modules(airloom.stages)]:
        try:
            importlib.import_module(name)
        except Exception as error:
            log.warning("not loaded: %s (%s: %s)", name, type(error).__name__, error)
        before, threads = threads, count_threads()
        if threads > before:
            log.warning("loading %s started a thread; forking beside it may hang a stage", name)
    gc.collect()
    gc.freeze()


def count_threads() -> int:
    """Threads of this process, native ones too where the system tells them."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1


def _find_modules(package: ModuleType) -> list[str]:
    """All modules below a package; nothing is loaded to learn it."""
    root = Path(package.__path__[0])
    files = (file.relative_to(root).with_suffix("") for file in sorted(root.rglob("*.py")))
    names = (".".join((package.__name__, *(part for part in file.parts if part != "__init__"))) for file in files)
    return [name for name in names if not name.endswith((".__main__", ".host"))]


@dataclass(eq=False)
class _Caller:
    """One connection: its request as far as it has come, then the stage that runs for it."""

    connection: socket.socket
    text: bytes = b""
    output: int | None = None
    child: int | None = None
    kill_at: float | None = None
    """When the stage is ending: the time from which SIGKILL is due."""


@dataclass
class StageHost:
    """The socket, its callers and their stages.

    Args:
        path: where to listen. A stale socket there is replaced.
    """

    path: Path
    _callers: set[_Caller] = field(default_factory=set)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.parent.chmod(0o700)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until a signal says stop; then end the stages that still run."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the selector
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self._stopping or self._callers:
            ending = any(caller.kill_at for caller in self._callers)
            for key, _ in self._selector.select(0.1 if ending else None):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    with contextlib.suppress(BlockingIOError):
                        while self._woken.recv(4096):
                            pass
                else:
                    self._read(key.data)
            if self._stopping:
                for caller in list(self._callers):
                    self._end(caller)
            self._reap()

    def close(self) -> None:
        """Stop listening, and take the socket away."""
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        caller = _Caller(connection)
        self._callers.add(caller)
        self._selector.register(connection, selectors.EVENT_READ, caller)

    def _read(self, caller: _Caller) -> None:
        """Take in a part of the request; or learn that the caller has gone."""
        try:
            data, ancillary, _, _ = caller.connection.recvmsg(65536, socket.CMSG_SPACE(4))
        except OSError:
            data, ancillary = b"", []
        for _, kind, content in ancillary:
            if kind == socket.SCM_RIGHTS:
                (caller.output,) = array.array("i", content)
        if not data:
            self._selector.unregister(caller.connection)
            self._end(caller)
            return
        caller.text += data
        if caller.text.endswith(b"\n") and caller.output is not None and caller.child is None:
            self._fork(caller, caller.output)

    def _fork(self, caller: _Caller, output: int) -> None:
        request = json.loads(caller.text)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            self._become(parent, output, request)
        os.close(output)
        caller.child, caller.text = child, b""
        log.info("stage %s is process %d", request["argv"][0], child)

    def _become(self, parent: int, output: int, request: dict[str, object]) -> None:
        """In the child: turn into the stage. Does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            die_with(parent)
            _redirect(output)
            self._selector.close()
            for each in (self._listener, self._woken, self._waker, *(caller.connection for caller in self._callers)):
                each.close()
            status = _run(request)
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(status)

    def _end(self, caller: _Caller) -> None:
        """Nobody waits for this stage any more: end its whole group."""
        if caller.child is None:
            self._forget(caller)
        elif caller.kill_at is None:
            caller.kill_at = time.monotonic() + GRACE_SECONDS
            _kill_group(caller.child, signal.SIGTERM)

    def _reap(self) -> None:
        for caller in list(self._callers):
            if caller.child is None:
                continue
            if caller.kill_at and time.monotonic() > caller.kill_at:
                _kill_group(caller.child, signal.SIGKILL)
            # Reaped last: until then the group's number cannot become another's.
            if os.waitid(os.P_PID, caller.child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                continue
            _kill_group(caller.child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(caller.child, 0)[1])
            with contextlib.suppress(OSError):
                caller.connection.sendall(json.dumps({"status": status}).encode() + b"\n")
            self._forget(caller)

    def _forget(self, caller: _Caller) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(caller.connection)
        if caller.child is None and caller.output is not None:
            os.close(caller.output)
        caller.connection.close()
        self._callers.discard(caller)


def _kill_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:  # it has not come to setsid yet, or only its zombie is left
        os.kill(leader, number)
    except PermissionError:
        pass


def _redirect(output: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def _run(request: dict[str, object]) -> int:
    """Run the stage with the caller's environment, folder and search path, as a fresh process would."""
    argv, environ, folder = request["argv"], request["environ"], request["cwd"]
    assert isinstance(argv, list)
    assert isinstance(environ, dict)
    assert isinstance(folder, str)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    paths = [folder, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*paths, *(path for path in sys.path[1:] if path not in paths)]
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if threadpoolctl := sys.modules.get("threadpoolctl"):
        threadpoolctl.threadpool_limits(int(environ["OMP_NUM_THREADS"]))
    return run_stage(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
