"""Triggers log though nobody reads; what they logged comes whole, in order, once somebody does."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from tests.waiting import wait_until

from airloom_airflow.speedups import switch, triggerer
from airloom_airflow.speedups.trigger_log_channel import LogChannel, log_from_a_thread, read_on

LINES = [b"line %d of a trigger that says a lot: %s\n" % (number, b"x" * 500) for number in range(5000)]


def read_all(reader: socket.socket, into: list[bytes]) -> None:
    while piece := reader.recv(1 << 16):
        into.append(piece)


def read_whole(channel: LogChannel, writer: socket.socket, reader: socket.socket) -> bytes:
    """All that was written, once somebody reads."""
    got: list[bytes] = []
    reading = threading.Thread(target=read_all, args=(reader, got))
    reading.start()
    assert channel.drain(30)
    writer.close()
    reading.join()
    return b"".join(got)


def test_nobody_waits_for_a_reader_that_does_not_read() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    assert [channel.write(line) for line in LINES] == [len(line) for line in LINES]  # would stand still if it waited
    assert not channel.drain(0.1)
    assert read_whole(channel, writer, reader) == b"".join(LINES)


def test_a_line_larger_than_the_socket_comes_whole() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    large = os.urandom(5 << 20)
    channel.write(large)
    assert read_whole(channel, writer, reader) == large


def test_a_reader_that_is_gone_stops_nobody() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    reader.close()
    for line in LINES:
        channel.write(line)
    assert channel.drain(30)


@pytest.mark.skipif(switch.version("apache-airflow-core") not in triggerer.TESTED, reason="off here")
def test_a_triggers_end_is_told_after_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Airflow's own parts around it: the supervisor closes a trigger's log when it is told of its end."""
    from airflow.jobs.triggerer_job_runner import TriggerRunner, TriggerRunnerSupervisor
    from airflow.sdk import log as airflow_log
    from airflow.sdk.execution_time import supervisor

    writer, reader = socket.socketpair()
    got: list[bytes] = []

    async def sync(runner: Any, finished_ids: list[int]) -> None:
        told.append((finished_ids, outputs[0].drain(0)))  # what a reader has taken is told, and never too early

    told: list[tuple[list[int], bool]] = []
    monkeypatch.setattr(TriggerRunner, "sync_state_to_supervisor", sync)
    monkeypatch.setattr(TriggerRunnerSupervisor, "run_in_process", TriggerRunnerSupervisor.run_in_process)
    monkeypatch.setattr(TriggerRunnerSupervisor, "_service_subprocess", TriggerRunnerSupervisor._service_subprocess)
    monkeypatch.setattr(supervisor, "_configure_logs_over_json_channel", None)
    outputs: list[LogChannel] = []
    monkeypatch.setattr(airflow_log, "configure_logging", lambda output, **_: outputs.append(output))
    monkeypatch.setattr(airflow_log, "reset_logging", lambda: None)
    log_from_a_thread()
    supervisor._configure_logs_over_json_channel(writer.fileno())
    reading = threading.Thread(target=read_all, args=(reader, got))
    for line in LINES:
        outputs[0].write(line)
    asyncio.run(TriggerRunner.sync_state_to_supervisor(None, [7]))  # type: ignore[arg-type]
    assert told == [([], False)], "nobody waits for the reader"
    reading.start()

    def is_told() -> bool:
        asyncio.run(TriggerRunner.sync_state_to_supervisor(None, []))  # type: ignore[arg-type]
        return told[-1] == ([7], True)

    wait_until(is_told, "its end is told", 4)
    assert [finished for finished, _ in told if finished] == [[7]]
    writer.close()
    reading.join()


def test_a_line_that_lies_in_the_socket_is_not_read_yet() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    channel.write(b"a line\n")
    assert not channel.drain(0.2)
    assert reader.recv(100) == b"a line\n"
    assert channel.drain(5)


def test_an_end_does_not_wait_for_what_others_log_after_it() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    channel.write(b"the last line\n")
    given = channel.given
    for line in LINES:
        channel.write(line)
    assert not channel.has_read(given)

    def has_read() -> bool:
        reader.recv(4096)
        return channel.has_read(given)

    wait_until(has_read, "the line is read")
    assert not channel.has_read(channel.given)
    assert read_whole(channel, writer, reader)


def test_the_supervisor_reads_at_a_round_what_there_is() -> None:
    writer, reader = socket.socketpair()
    got: list[bytes] = []

    def service(supervisor: Any, max_wait_time: float) -> None:
        """As Airflow's: a look, and 4 KiB of what is ready."""
        for key, _ in supervisor.selector.select(max_wait_time):
            got.append(key.fileobj.recv(4096))

    selector = selectors.DefaultSelector()
    selector.register(reader, selectors.EVENT_READ)
    writer.sendall(b"x" * 100_000)
    assert read_on(service)(SimpleNamespace(selector=selector), 1) is None
    assert b"".join(got) == b"x" * 100_000


def test_the_end_of_the_process_is_given_at_once() -> None:
    writer, reader = socket.socketpair()
    selector = selectors.DefaultSelector()
    selector.register(reader, selectors.EVENT_READ)
    writer.send(b"more")
    statuses = [7]
    assert read_on(lambda *_: statuses.pop())(SimpleNamespace(selector=selector), 1) == 7
