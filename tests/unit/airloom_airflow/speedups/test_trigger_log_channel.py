"""Triggers log though nobody reads; what they logged comes whole, in order, once somebody does."""

from __future__ import annotations

import os
import socket
import threading

from airloom_airflow.speedups.trigger_log_channel import LogChannel

LINES = [b"line %d of a trigger that says a lot: %s\n" % (number, b"x" * 500) for number in range(5000)]


def read_all(reader: socket.socket, into: list[bytes]) -> None:
    while piece := reader.recv(1 << 16):
        into.append(piece)


def test_nobody_waits_for_a_reader_that_does_not_read() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    assert [channel.write(line) for line in LINES] == [len(line) for line in LINES]  # would stand still if it waited
    assert not channel.drain(0.1)
    got: list[bytes] = []
    reading = threading.Thread(target=read_all, args=(reader, got))
    reading.start()
    assert channel.drain(30)
    writer.close()
    reading.join()
    assert b"".join(got) == b"".join(LINES)


def test_a_line_larger_than_the_socket_comes_whole() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    large = os.urandom(5 << 20)
    channel.write(large)
    got: list[bytes] = []
    reading = threading.Thread(target=read_all, args=(reader, got))
    reading.start()
    assert channel.drain(30)
    writer.close()
    reading.join()
    assert b"".join(got) == large


def test_a_reader_that_is_gone_stops_nobody() -> None:
    writer, reader = socket.socketpair()
    channel = LogChannel(writer.fileno())
    reader.close()
    for line in LINES:
        channel.write(line)
    assert channel.drain(30)
