"""A log is passed on once, whole and in order, however often its connection breaks."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from airloom.protocol.section import Section, begin_line, end_line
from airloom_airflow.triggers.pod_watch import LogPosition

LINES = [
    b"2026-11-24T00:36:37.571136999Z one",
    b"2026-11-24T00:36:37.5712Z two",  # later than the one before: Kubernetes leaves trailing zeros out
    b"2026-11-24T00:36:37.5712Z two",
    b"2026-11-24T00:36:37.571199Z three",  # of the other stream: a little earlier
    b"2026-11-24T00:36:38Z four",
]


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.times: list[datetime] = []

    def __call__(self, line: str, when: datetime) -> None:
        self.lines.append(line)
        self.times.append(when)


def test_every_line_is_told_with_a_time_later_by_a_millisecond_at_least() -> None:
    heard = Heard()
    position = LogPosition(heard, Section("token", "train", shared=False))
    for line in LINES:
        position.take(line)
    assert heard.lines == ["one", "two", "two", "three", "four"]
    assert all(after - before >= timedelta(milliseconds=1) for before, after in pairwise(heard.times))


def test_wherever_the_connection_breaks_nothing_is_told_twice_or_left_out() -> None:
    for seen in range(len(LINES) + 1):
        heard = Heard()
        position = LogPosition(heard, Section("token", "train", shared=False))
        for line in LINES[:seen]:
            position.take(line)
        position.reopen()
        for line in LINES:
            position.take(line)
        assert heard.lines == ["one", "two", "two", "three", "four"], seen


def test_another_reader_tells_the_same_times() -> None:
    first, second = Heard(), Heard()
    for heard in (first, second):
        position = LogPosition(heard, Section("token", "train", shared=False))
        for line in LINES:
            position.take(line)
    assert first.times == second.times


def test_a_section_is_told_apart_and_knows_its_end() -> None:
    heard = Heard()
    section = Section("token", "train")
    position = LogPosition(heard, section)
    text = ["before", begin_line("token", "ingest"), "of ingest", end_line("token", "ingest", 0, "{}"),
            begin_line("token", "train"), "of train", begin_line("another", "ingest"),
            end_line("token", "train", 75, '{"a": "b c"}'), begin_line("token", "register"), "of register"]  # fmt: skip
    for number, line in enumerate(text):
        position.take(f"2026-11-24T00:00:{number:02}Z {line}".encode())
    assert heard.lines == ["of train", begin_line("another", "ingest")]
    assert (section.status, section.pointer, position.is_over) == (75, '{"a": "b c"}', True)
