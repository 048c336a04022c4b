"""`python -m airloom.stages fused`: runs the stages of a group one after the other, until one fails.

A pod of `execution: fused` runs it. Libraries are loaded once, by a warm host of its own; each stage is a process as
anywhere else. What the stages write is told apart by `airloom.protocol.section`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airloom.errors import AirloomError, PermanentError
from airloom.protocol import ResultPointer, StageContext, StageGroup
from airloom.protocol.launch import (
    CONTEXT_VARIABLE,
    EXIT_PERMANENT,
    EXIT_TRANSIENT,
    StageFailedError,
    StageInterruptedError,
    launch_stage,
)
from airloom.protocol.section import TOKEN_VARIABLE, begin_line, end_line

_HOST_SECONDS = 120.0
_LOST = 137


def main() -> int:
    """Run the group that the context variable holds; the exit status is that of the stage that failed, or 0."""
    token = os.environ.pop(TOKEN_VARIABLE, "")
    python = os.environ.pop("AIRLOOM_STAGE_PYTHON", "")
    try:
        group = StageGroup.from_json(os.environ.pop(CONTEXT_VARIABLE, ""))
    except AirloomError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_PERMANENT
    with _warm_host(wanted=not python) as host:
        for context in group.contexts():
            print(begin_line(token, context.stage), flush=True)
            status, pointer = _run(context, python or sys.executable, host)
            if status == _LOST:  # the pod's own end tells more: its node, its memory
                return status
            text = pointer.to_short_json().decode().strip() if pointer else ""
            print(end_line(token, context.stage, status, text), flush=True)
            if status:
                return status
    return 0


def _run(context: StageContext, python: str, host: Path | None) -> tuple[int, ResultPointer | None]:
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    try:
        pointer = launch_stage(context, python=python, host=host, environ=os.environ, log=_log, cpu_threads=threads)
    except StageFailedError as error:
        return EXIT_PERMANENT, error.pointer
    except StageInterruptedError as error:
        return EXIT_TRANSIENT, error.pointer
    except PermanentError as error:
        _log(f"{type(error).__name__}: {error}")
        return EXIT_PERMANENT, None
    except AirloomError as error:
        _log(f"{type(error).__name__}: {error}")
        return _LOST, None
    return 0, pointer


def _log(line: str) -> None:
    print(line, flush=True)


@contextmanager
def _warm_host(*, wanted: bool) -> Iterator[Path | None]:
    """A stage host of this pod's own; None where there is to be none, or it does not come up."""
    if not wanted:
        yield None
        return
    socket = Path(os.environ.get("TMPDIR", "/tmp")) / f"airloom-{os.getpid()}" / "stages.sock"
    process = subprocess.Popen([sys.executable, "-m", "airloom.stages.host", "--socket", str(socket)])
    try:
        deadline = time.monotonic() + _HOST_SECONDS
        while not socket.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        yield socket if socket.exists() else None
    finally:
        process.terminate()
        process.wait()
