"""Starts one stage from the launching side and brings its pointer back: Airflow's operator and `airloom run` use it.

It is not the stage's side (`airloom.stages.runner`), and not the warm host (`airloom.stages.host`), which it only asks.
A stage has succeeded when its exit status is 0, its pointer is whole, and its result is what the pointer says. Whatever
interrupts the caller, and however the stage ends, nothing of its process group stays behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from airloom.errors import AirloomError, ConfigError, PermanentError, TransientError
from airloom.protocol.context import StageContext
from airloom.protocol.result import ResultPointer
from airloom.telemetry import SWITCHES

EXIT_PERMANENT = 65
EXIT_TRANSIENT = 75
GRACE_SECONDS = 5.0
"""How long a stage has between SIGTERM and SIGKILL."""
LAUNCHER_VARIABLE = "AIRLOOM_STAGE_LAUNCHER"
"""Tells a fresh stage its launcher's process id: it ends when that one does."""

CONTEXT_VARIABLE = "AIRLOOM_STAGE_CONTEXT"
"""Holds a stage's context where it gets no file of it: in a pod."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_POLL_SECONDS = 0.25
_LONGEST_LINE = 65536
_LAST_LINES = 20


class StageFailedError(PermanentError):
    """The stage failed for good; `pointer` leads to its result, which says why."""

    def __init__(self, message: str, pointer: ResultPointer) -> None:
        super().__init__(message)
        self.pointer = pointer


class StageInterruptedError(TransientError):
    """The stage failed in a way that trying again may mend; `pointer` leads to its result."""

    def __init__(self, message: str, pointer: ResultPointer) -> None:
        super().__init__(message)
        self.pointer = pointer


def launch_stage(
    context: StageContext,
    *,
    python: str,
    host: Path | None,
    environ: Mapping[str, str],
    log: Callable[[str], None],
    cpu_threads: int,
) -> ResultPointer:
    """Run a stage to its end.

    Args:
        context: what the stage is told; its `stage` names it.
        python: the interpreter that has the stage's libraries.
        host: Unix socket of a warm stage host. None, or nobody listens there: the stage is a fresh process.
        environ: the stage's whole environment, but for thread limits, telemetry switches and whose child it is in
            lineage and traces, which are set here.
        log: called with each line that the stage writes, without its newline, in the calling thread.
        cpu_threads: how many threads numeric libraries may use.

    Errors:
        StageFailedError, StageInterruptedError: the stage told its failure.
        PermanentError: it refused its context (exit 65, no result); or `python` cannot be started (ConfigError).
        TransientError: it was killed, or its pointer or result is missing, cut off, or not what the other says.
    """
    lines = _Lines(log)
    with tempfile.TemporaryDirectory(prefix=f"airloom-{context.stage}-", ignore_cleanup_errors=True) as name:
        document, pointer = Path(name, "context.json"), Path(name, "pointer.json")
        document.write_bytes(context.to_json())
        argv = [context.stage, "--context", str(document), "--pointer", str(pointer)]
        stage = _start(argv, python, host, build_environ({**environ, **context.build_environ()}, cpu_threads), lines)
        try:
            status = _follow(stage, lines)
        except BaseException:
            stage.end()
            raise
        finally:
            stage.close()
        answer = read_exit(context.stage, status, _read(pointer), "\n".join(lines.last))
        _check_result(context.stage, answer)
        return answer


def build_environ(environ: Mapping[str, str], cpu_threads: int) -> dict[str, str]:
    """A stage's environment: `environ` with thread limits and vendors' usage reporting switched off."""
    limits = dict.fromkeys(_THREAD_VARIABLES, str(cpu_threads))
    return {**environ, **limits, **SWITCHES, "PYTHONUNBUFFERED": "1"}


class _Lines:
    """Cuts bytes into lines for `log`, and keeps the last ones."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._write = log
        self._pending = b""
        self.last: deque[str] = deque(maxlen=_LAST_LINES)

    def feed(self, data: bytes) -> None:
        *whole, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > _LONGEST_LINE:
            whole.append(self._pending)
            self._pending = b""
        for line in whole:
            self.log(line.decode(errors="replace").rstrip("\r"))

    def close(self) -> None:
        if self._pending:
            self.feed(b"\n")

    def log(self, line: str) -> None:
        self.last.append(line)
        self._write(line)


class _RunningStage(Protocol):
    """A started stage: `output` is the reading end of what it writes."""

    output: int

    def wait(self, *, block: bool) -> int | None:
        """The exit status (negative: the signal), once it has ended and its group is gone; else None."""

    def end(self) -> None:
        """Kill the whole group, and wait until it is gone."""

    def close(self) -> None:
        """Let go of what the launching side holds."""


class _FreshStage:
    """A stage in its own process and session."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                env={**environ, LAUNCHER_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(
                f"the stage's Python cannot be started: {command[0]} ({error.strerror}). Give the interpreter of the "
                "environment that has airloom's stages, as `make setup` makes it."
            ) from error
        assert self._process.stdout is not None
        self.output = self._process.stdout.fileno()

    def wait(self, *, block: bool) -> int | None:
        # The leader is reaped last: until then its group's number cannot become another's.
        options = os.WEXITED | os.WNOWAIT | (0 if block else os.WNOHANG)
        if os.waitid(os.P_PID, self._process.pid, options) is None:
            return None
        self._kill(signal.SIGKILL)
        return self._process.wait()

    def end(self) -> None:
        if self._process.returncode is not None:
            return
        try:
            self._kill(signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while time.monotonic() < deadline and self.wait(block=False) is None:
                time.sleep(0.02)
        finally:
            if self._process.returncode is None:
                self._kill(signal.SIGKILL)
                self._process.wait()

    def _kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # only the zombie is left of it
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()


class _HostedStage:
    """A stage that a warm host forked. Closing our half of the connection tells the host to kill it."""

    def __init__(self, connection: socket.socket, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._connection = connection
        self._reply = b""
        self.output, writing = os.pipe()
        try:
            request = json.dumps({"argv": list(argv), "environ": dict(environ), "cwd": str(Path.cwd())}).encode()
            sent = socket.send_fds(connection, [request], [writing])
            connection.sendall(request[sent:] + b"\n")
        except OSError as error:
            self.close()
            raise TransientError(f"the warm stage host did not take the stage: {error}") from error
        finally:
            os.close(writing)

    def wait(self, *, block: bool) -> int | None:
        self._connection.setblocking(block)
        try:
            while not self._reply.endswith(b"\n"):
                data = self._connection.recv(4096)
                if not data:
                    raise TransientError("the warm stage host went away, and its stages with it")
                self._reply += data
        except (BlockingIOError, TimeoutError):
            return None
        except OSError as error:
            raise TransientError(f"the warm stage host went away: {error}") from error
        status = json.loads(self._reply)["status"]
        assert isinstance(status, int)
        return status

    def end(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.settimeout(GRACE_SECONDS + 2)
            while self._connection.recv(4096):
                pass
        except OSError:
            pass  # the host is gone, or slow; its stages end with it or by its own deadline

    def close(self) -> None:
        self._connection.close()
        os.close(self.output)


def _start(
    argv: Sequence[str], python: str, host: Path | None, environ: Mapping[str, str], lines: _Lines
) -> _RunningStage:
    if host is not None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(host))
        except OSError as error:
            connection.close()
            lines.log(f"no warm stage host at {host} ({error}); starting a fresh process")
        else:
            return _HostedStage(connection, argv, environ)
    return _FreshStage([python, "-m", "airloom.stages", *argv], environ)


def _follow(stage: _RunningStage, lines: _Lines) -> int:
    os.set_blocking(stage.output, False)
    with selectors.DefaultSelector() as selector:
        selector.register(stage.output, selectors.EVENT_READ)
        status: int | None = None
        while status is None:
            selector.select(_POLL_SECONDS)
            status = stage.wait(block=_drain(stage.output, lines))
        _drain(stage.output, lines)
    lines.close()
    return status


def _drain(output: int, lines: _Lines) -> bool:
    """Pass on what is there; True when no more can come."""
    try:
        while data := os.read(output, _LONGEST_LINE):
            lines.feed(data)
    except BlockingIOError:
        return False
    return True


def read_exit(stage: str, status: int, text: bytes | str, last_lines: str) -> ResultPointer:
    """What a stage's end means: the pointer to its result, or an error.

    Args:
        status: the exit status; negative: the signal that killed it.
        text: its pointer's JSON; empty or cut off where it left none.
        last_lines: its last lines, for an error.

    Errors: as `launch_stage`'s, but for the result, which is not looked at.
    """
    if status not in (0, EXIT_PERMANENT, EXIT_TRANSIENT):
        raise TransientError(f"stage {stage} was lost: {_describe_status(status)}. Its last lines:\n{last_lines}")
    pointer = _read_pointer(text)
    if pointer is None:
        family: type[AirloomError] = PermanentError if status == EXIT_PERMANENT else TransientError
        raise family(f"stage {stage} left no whole pointer ({_describe_status(status)}). Its last lines:\n{last_lines}")
    expected = {0: None, EXIT_PERMANENT: "permanent", EXIT_TRANSIENT: "transient"}[status]
    if pointer.family != expected or (pointer.status == "succeeded") != (status == 0):
        raise TransientError(
            f"stage {stage} contradicts itself: {_describe_status(status)}, and its pointer says {pointer.status}"
        )
    if status == EXIT_PERMANENT:
        raise StageFailedError(pointer.message, pointer)
    if status == EXIT_TRANSIENT:
        raise StageInterruptedError(pointer.message, pointer)
    return pointer


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _read_pointer(text: bytes | str) -> ResultPointer | None:
    try:
        json.loads(text)
    except ValueError:
        return None
    return ResultPointer.from_json(text)  # whole, so what is wrong with it now is for good


def _check_result(stage: str, pointer: ResultPointer) -> None:
    """Only a local result is looked at: of other stores the launching side need not have the credentials."""
    place = urlsplit(pointer.result_uri)
    if place.scheme != "file":
        return
    try:
        digest = "sha256:" + hashlib.sha256(Path(unquote(place.path)).read_bytes()).hexdigest()
    except OSError as error:
        raise TransientError(f"stage {stage} ended well, but its result cannot be read: {error}") from error
    if digest != pointer.digest:
        raise TransientError(
            f"stage {stage} ended well, but {pointer.result_uri} has digest {digest}, and its pointer says "
            f"{pointer.digest}"
        )


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
