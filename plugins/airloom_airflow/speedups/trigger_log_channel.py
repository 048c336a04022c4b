"""Lets triggers log while the triggerer's supervisor does not read. `triggerer` turns it on.

Works round a deadlock of Airflow's triggerer, seen with a thousand triggers that log at once (`make bench-scale`): the
process that runs triggers writes each line to its supervisor's socket, and its event loop stands still while that is
full; the supervisor, meanwhile, writes the triggers to be started to the other's socket, and reads no lines until that
is through. Both then wait for ever, the triggerer's triggers with them; another triggerer that takes them over does the
same. Here the lines go to a queue in memory, and a thread writes them. It also writes each whole: Airflow's own leaves
out the rest of one that the socket takes in part. That a trigger has ended is told once the supervisor has read its
lines: it closes the log then, and Airflow's own puts whatever comes later into the triggerer's output. And the
supervisor reads what there is at each of its rounds, in which it asks the database a few questions; Airflow's own reads
4 KiB of all triggers' lines together.

Upstream: https://github.com/apache/airflow/issues/65286, open, has triggerers that stand still, for this reason or
another; https://github.com/apache/airflow/issues/66158, open, the lines that are cut. It can go with a version whose
event loop does not wait for its log.
"""

from __future__ import annotations

import atexit
import fcntl
import io
import os
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

_LAST_SECONDS = 5.0
"""How long the end of the process waits for the supervisor to take the lines before."""

_LOOK_SECONDS = 0.002
_READ_SECONDS = 0.2
"""How long the supervisor reads at a round."""


class LogChannel(io.RawIOBase):
    """A binary stream whose `write` never waits: a thread of its own writes, in order.

    Args:
        fd: where to. A reader that is gone ends the thread, and what comes after is dropped.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._lines: deque[bytes] = deque()
        self._given = self._written = 0
        self._change = threading.Condition()
        self._writer = threading.Thread(target=self._write_on, name="log channel", daemon=True)
        self._writer.start()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, line: Buffer) -> int:
        """All of it, at once; its length."""
        copied = bytes(line)
        with self._change:
            if self._writer.is_alive():
                self._lines.append(copied)
                self._given += len(copied)
                self._change.notify_all()
        return len(copied)

    @property
    def given(self) -> int:
        """Bytes that it was given so far."""
        return self._given

    def has_read(self, given: int) -> bool:
        """Whether the reader has taken so many bytes, or is gone. It may say so late, and not too early."""
        with self._change:
            written = self._written
            if not self._writer.is_alive():
                return True
        return written >= given and ((unread := self._count_unread()) == 0 or written - unread >= given)

    def drain(self, seconds: float = _LAST_SECONDS) -> bool:
        """Wait until the reader has taken what was given so far; False where it has not, in time."""
        given, until = self.given, time.monotonic() + seconds
        while not self.has_read(given):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _count_unread(self) -> int:
        """Bytes that whoever reads the socket has not taken, or more, since Linux counts what it keeps them in; 0 of
        what is no socket, or has no reader any more."""
        try:
            return int.from_bytes(fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    def _write_on(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._lines))
                rest = memoryview(self._lines[0])
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError:
                with self._change:
                    self._lines.clear()
                return
            with self._change:
                self._written += len(self._lines.popleft())


def read_on(service: Callable[..., int | None]) -> Callable[..., int | None]:
    """`TriggerRunnerSupervisor._service_subprocess`, which gives the process's status, as long as there is more."""

    def service_while_ready(supervisor: Any, max_wait_time: float, *args: Any, **kwargs: Any) -> int | None:
        status = service(supervisor, max_wait_time, *args, **kwargs)
        until = time.monotonic() + _READ_SECONDS
        while status is None and time.monotonic() < until and supervisor.selector.select(0):
            status = service(supervisor, 0, *args, **kwargs)
        return status

    return service_while_ready


def log_from_a_thread() -> None:
    """Have Airflow's triggerer, run later in this process, run triggers in one whose event loop waits for no log."""
    from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
    from airflow.sdk.execution_time import supervisor
    from airflow.sdk.log import configure_logging, reset_logging

    run, sync = TriggerRunnerSupervisor.run_in_process, TriggerRunner.sync_state_to_supervisor
    channels: list[LogChannel] = []
    ends: deque[tuple[list[int], list[int]]] = deque()  # triggers, and the bytes that each channel was given by then

    def configure(log_fd: int) -> None:
        """As Airflow's, in the new process."""
        channels.append(LogChannel(log_fd))
        reset_logging()  # type: ignore[no-untyped-call]
        configure_logging(json_output=True, output=channels[-1], sending_to_supervisor=True)

    def run_and_drain() -> Any:
        atexit.register(lambda: [channel.drain() for channel in channels])
        return run()  # type: ignore[no-untyped-call]

    async def sync_what_is_read(runner: Any, finished_ids: list[int]) -> None:
        """Airflow calls it at each round. An end whose lines are not read yet is told at a later one."""
        if finished_ids:
            ends.append((finished_ids, [channel.given for channel in channels]))
        told: list[int] = []
        while ends and all(map(LogChannel.has_read, channels, ends[0][1])):
            told += ends.popleft()[0]
        await sync(runner, told)

    service = TriggerRunnerSupervisor._service_subprocess
    TriggerRunnerSupervisor._service_subprocess = read_on(service)  # type: ignore[method-assign]
    supervisor._configure_logs_over_json_channel = configure
    TriggerRunnerSupervisor.run_in_process = run_and_drain  # type: ignore[method-assign]
    TriggerRunner.sync_state_to_supervisor = sync_what_is_read  # type: ignore[method-assign,assignment]
