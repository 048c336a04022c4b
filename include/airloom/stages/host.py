"""The warm stage host: `python -m airloom.stages.host --socket PATH` imports what stages need once, and forks for each.

A stage's cold imports cost 2–6 s; a fork of a process that has them costs milliseconds. The launching side is
`airloom.protocol.launch`: it sends one JSON line (argv, environ, cwd) with the descriptor that the stage writes to,
and gets back one JSON line with the exit status (negative: the signal). When the launcher goes away, its stage is
ended. The child runs `airloom.stages.runner.main`, as a fresh process would.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from airloom.protocol.launch import GRACE_SECONDS
from airloom.stages import STAGE_NAMES
from airloom.stages.lifeline import die_with
from airloom.telemetry import switch_off

PRELOADED = (
    *(f"airloom.stages.{name}" for name in STAGE_NAMES),
    "airloom.adapters.duckdb",
    "airloom.adapters.evidently",
    "airloom.adapters.feast",
    "airloom.adapters.gateway",
    "airloom.adapters.great_expectations",
    "airloom.adapters.local_folder",
    "airloom.adapters.mlflow",
    "airloom.adapters.openlineage",
    "airloom.adapters.prediction_files",
    "mlflow.data",
    "mlflow.data.pandas_dataset",
    "mlflow.models",
    "mlflow.sklearn",
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.store.artifact.models_artifact_repo",
    "mlflow.store.tracking.rest_store",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.pipeline",
    "sklearn.preprocessing",
)
_LONGEST_REQUEST = 64 << 20
_TICK_SECONDS = 0.5

log = logging.getLogger("airloom.stages.host")


@dataclass
class _Call:
    """One launcher's connection, and the stage that was forked for it."""

    connection: socket.socket
    request: bytearray = field(default_factory=bytearray)
    descriptors: list[int] = field(default_factory=list)
    process: int | None = None
    pidfd: int | None = None
    kill_at: float | None = None


class StageHost:
    """Serves launchers on one Unix socket, in one thread: what forks must hold no lock of another's.

    Args:
        path: of the socket; its folder is made, closed to others.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._selector = selectors.DefaultSelector()
        self._calls: dict[int, _Call] = {}
        self._ending = False

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT; then end the stages that run, and remove the socket."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        mask = os.umask(0o177)
        try:
            self._socket.bind(str(self._path))
        finally:
            os.umask(mask)
        self._socket.listen(64)
        self._selector.register(self._socket, selectors.EVENT_READ)
        log.info("ready at %s", self._path)
        try:
            while not self._ending or self._calls:
                self._step()
        finally:
            self._path.unlink(missing_ok=True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._ending = True
        for call in self._calls.values():
            _end(call)

    def _step(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            if key.fileobj is self._socket:
                self._accept()
            elif key.fd in self._calls:
                self._read(self._calls[key.fd])
            elif isinstance(key.data, _Call):
                self._finish(key.data)
        for call in self._calls.values():
            if call.kill_at is not None and time.monotonic() > call.kill_at and call.process is not None:
                _signal(call.process, signal.SIGKILL)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        self._calls[connection.fileno()] = _Call(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, call: _Call) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(call.connection, 1 << 16, 1)
        except OSError:
            data, descriptors = b"", []
        call.descriptors += descriptors
        call.request += data
        if not data:
            self._selector.unregister(call.connection)
            if call.process is None:
                self._close(call)
            else:
                _end(call)  # the launcher went away, or closed its half to say: end it
        elif call.process is None and call.request.endswith(b"\n"):
            self._fork(call)
        elif len(call.request) > _LONGEST_REQUEST:
            self._selector.unregister(call.connection)
            self._close(call)

    def _fork(self, call: _Call) -> None:
        request = json.loads(bytes(call.request))
        host = os.getpid()
        process = os.fork()
        if process == 0:
            self._run(request, call, host)
        for descriptor in call.descriptors:
            os.close(descriptor)
        call.descriptors.clear()
        call.request.clear()
        call.process, call.pidfd = process, os.pidfd_open(process)
        self._selector.register(call.pidfd, selectors.EVENT_READ, call)

    def _run(self, request: dict[str, object], call: _Call, host: int) -> None:
        """In the child: become the stage. Never returns."""
        status = 1
        try:
            os.setsid()
            die_with(host)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(call.descriptors[0], 1)
            os.dup2(call.descriptors[0], 2)
            self._selector.close()
            self._socket.close()
            for other in self._calls.values():
                other.connection.close()
            sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 – a descriptor
            sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 – a descriptor
            environ, cwd, argv = request["environ"], request["cwd"], request["argv"]
            assert isinstance(environ, dict)
            assert isinstance(argv, list)
            os.environ.clear()
            os.environ.update(environ)
            os.chdir(str(cwd))
            _seed()

            from airloom.stages.runner import main

            status = main(argv)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _finish(self, call: _Call) -> None:
        """The stage's leader has ended: take the rest of its group along, and tell the launcher."""
        assert call.process is not None
        assert call.pidfd is not None
        _signal(call.process, signal.SIGKILL)
        _, waited = os.waitpid(call.process, 0)
        self._selector.unregister(call.pidfd)
        os.close(call.pidfd)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(call.connection)
        with contextlib.suppress(OSError):
            call.connection.sendall(json.dumps({"status": os.waitstatus_to_exitcode(waited)}).encode() + b"\n")
        self._close(call)

    def _close(self, call: _Call) -> None:
        self._calls.pop(call.connection.fileno(), None)
        for descriptor in call.descriptors:
            os.close(descriptor)
        call.connection.close()


def preload() -> None:
    """Import what stages need; what is not installed is told, and left to the stage that needs it."""
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except Exception as error:
            log.warning("cannot preload %s: %s", name, error)
    threads = len(list(Path("/proc/self/task").iterdir())) if sys.platform == "linux" else 1
    if threads > 1:
        log.warning("%d threads run after the imports; a fork does not carry them over", threads)
    gc.collect()
    gc.freeze()  # so that children do not copy every page that the collector would touch


def _seed() -> None:
    import numpy as np

    np.random.seed()


def _end(call: _Call) -> None:
    if call.process is not None and call.kill_at is None:
        call.kill_at = time.monotonic() + GRACE_SECONDS
        _signal(call.process, signal.SIGTERM)


def _signal(process: int, number: int) -> None:
    try:
        os.killpg(process, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):  # not a group of its own yet
            os.kill(process, number)


def main() -> None:
    """Read the command line, preload, serve."""
    parser = argparse.ArgumentParser(prog="python -m airloom.stages.host", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    arguments = parser.parse_args()
    switch_off(os.environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    preload()
    StageHost(arguments.socket).serve()


if __name__ == "__main__":
    main()
