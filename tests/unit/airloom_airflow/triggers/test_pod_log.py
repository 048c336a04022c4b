"""A log is passed on once, whole and in order, however often its connection breaks."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from airloom.protocol.section import Section, begin_line, end_line
from airloom_airflow.triggers.pod_log import LogPosition, read_lines, split_lines

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


def test_every_line_is_passed_on_with_a_time_later_by_a_millisecond_at_least() -> None:
    heard = Heard()
    position = LogPosition(heard, Section("token", "train", shared=False))
    for line in LINES:
        position.accept(line)
    assert heard.lines == ["one", "two", "two", "three", "four"]
    assert all(after - before >= timedelta(milliseconds=1) for before, after in pairwise(heard.times))


def test_wherever_the_connection_breaks_nothing_is_passed_on_twice_or_left_out() -> None:
    for seen in range(len(LINES) + 1):
        heard = Heard()
        position = LogPosition(heard, Section("token", "train", shared=False))
        for line in LINES[:seen]:
            position.accept(line)
        position.reopen()
        for line in LINES:
            position.accept(line)
        assert heard.lines == ["one", "two", "two", "three", "four"], seen


def test_a_log_that_was_rotated_meanwhile_is_passed_on_once_and_whole() -> None:
    lines = [f"2026-11-24T00:00:00.{number:03}Z line {number}".encode() for number in range(20)]
    for start in range(11):
        heard = Heard()
        position = LogPosition(heard, Section("token", "train", shared=False))
        for line in lines[:10]:
            position.accept(line)
        position.reopen()
        for line in lines[start:]:  # what is before lies in another file now
            position.accept(line)
        assert heard.lines == [f"line {number}" for number in range(20)], start


def test_the_kubelets_own_words_are_passed_on_once_and_hide_no_line() -> None:
    heard = Heard()
    position = LogPosition(heard, Section("token", "train", shared=False))
    word = b"failed to watch the log"
    for line in (LINES[0], word, LINES[1]):
        position.accept(line)
    position.reopen()
    for line in (word, *LINES):
        position.accept(line)
    assert [line.strip() for line in heard.lines] == ["one", word.decode(), "two", "two", "three", "four"]


def test_another_reader_gives_the_same_times() -> None:
    first, second = Heard(), Heard()
    for heard in (first, second):
        position = LogPosition(heard, Section("token", "train", shared=False))
        for line in LINES:
            position.accept(line)
    assert first.times == second.times


def test_a_section_is_kept_apart_and_knows_its_end() -> None:
    heard = Heard()
    section = Section("token", "train")
    position = LogPosition(heard, section)
    text = ["before", begin_line("token", "ingest"), "of ingest", end_line("token", "ingest", 0, "{}"),
            begin_line("token", "train"), "of train", begin_line("another", "ingest"),
            end_line("token", "train", 75, '{"a": "b c"}'), begin_line("token", "register"), "of register"]  # fmt: skip
    for number, line in enumerate(text):
        position.accept(f"2026-11-24T00:00:{number:02}Z {line}".encode())
    assert heard.lines == ["of train", begin_line("another", "ingest")]
    assert (section.status, section.pointer, position.is_over) == (75, '{"a": "b c"}', True)


def burst(count: int, seconds: float = 1.0) -> list[bytes]:
    """So many lines, evenly in so much time, some of them equal."""
    began = datetime(2026, 11, 24, tzinfo=UTC)
    times = (began + timedelta(seconds=seconds * number / count) for number in range(count))
    return [f"{when:%Y-%m-%dT%H:%M:%S.%f}000Z line {number // 3}".encode() for number, when in enumerate(times)]


def test_a_burst_keeps_its_order_and_its_times_do_not_run_ahead() -> None:
    lines, heard = burst(100_000), Heard()
    position = LogPosition(heard, Section("token", "train", shared=False))
    for line in lines:
        position.accept(line)
    own = [datetime.fromisoformat(line[:26].decode() + "+00:00") for line in lines]
    assert len(heard.lines) == len(lines)
    assert all(before < after for before, after in pairwise(heard.times))
    assert max(given - when for given, when in zip(heard.times, own, strict=True)) < timedelta(seconds=1.2)
    assert position.since() == {"sinceTime": "2026-11-23T23:59:59Z"}  # a second before the newest line


def test_what_is_held_of_a_log_is_bounded() -> None:
    position = LogPosition(lambda line, when: None, Section("token", "train", shared=False))
    sizes = []
    for lines in (burst(1_000), burst(50_000)):
        for line in lines:
            position.accept(line)
        position.reopen()
        sizes.append(sum(len(value) for value in vars(position).values() if hasattr(value, "__len__")))
    assert sizes[1] <= 2 * 2_000 + 10


@pytest.mark.parametrize("seed", range(5))
def test_a_burst_that_breaks_off_anywhere_is_passed_on_once(seed: int) -> None:
    lines, heard, chance = burst(20_000), Heard(), random.Random(seed)
    position = LogPosition(heard, Section("token", "train", shared=False))
    seen = 0
    while seen < len(lines):
        seen = min(len(lines), seen + chance.randrange(1, 9_000))
        since = position.since().get("sinceTime", "")
        position.reopen()
        for line in lines[:seen]:
            if line[:19].decode() + "Z" >= since:
                position.accept(line)
    assert heard.lines == [line.partition(b" ")[2].decode() for line in lines]


class Answer:
    """Chunks of a body, as aiohttp gives them."""

    def __init__(self, body: bytes, size: int) -> None:
        self.content = self
        self._chunks = [body[at : at + size] for at in range(0, len(body), size)]

    async def iter_any(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def read(body: bytes, size: int, longest: int | None, *, rest: bool = True) -> list[bytes]:
    async def collect() -> list[bytes]:
        answer: Any = Answer(body, size)
        return [line async for line in read_lines(answer, longest, rest=rest)]

    return asyncio.run(collect())


def test_a_line_that_is_being_written_is_none_yet() -> None:
    assert read(b"one\ntw", 2, None, rest=False) == [b"one"]
    assert read(b"one\ntw", 2, None) == [b"one", b"tw"]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_lines_are_the_same_however_they_come_and_long_ones_come_in_pieces(size: int) -> None:
    stamp = b"2026-11-24T00:36:37.571136999Z "
    long = hashlib.sha256(b"x").hexdigest().encode() * 20
    body = stamp + b"one\n" + stamp + long + b"\n\n" + stamp + b"last"
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert read(body, size, None) == list(split_lines(chunks, None)) == body.split(b"\n")
    assert read(body, size, 200) == list(split_lines(chunks, 200))
    lines = read(body, size, 200)
    assert max(map(len, lines)) == 200
    assert [lines[0], lines[-1]] == [stamp + b"one", stamp + b"last"]
    pieces = [line.removeprefix(stamp) for line in lines[1:-2]]
    assert b"".join(pieces) == long
    assert all(line.startswith(stamp) for line in lines[1:-2])


def test_a_long_line_is_cut_between_letters() -> None:
    letters = "xé€😀" * 50
    line = f"2026-11-24T00:36:37Z {letters}".encode()
    for longest in range(40, 50):
        heard = Heard()
        position = LogPosition(heard, Section("token", "train", shared=False))
        for piece in split_lines([line + b"\n"], longest):
            assert len(piece) <= longest
            position.accept(piece)
        assert "".join(heard.lines) == letters


@pytest.mark.parametrize("hours", [-8, 0, 1, 14])
def test_a_node_of_any_time_zone_has_its_lines_at_their_times_and_each_once(hours: int) -> None:
    """containerd writes its node's own time and offset, and the kubelet leaves out what is before `sinceTime`."""
    zone, begin = timezone(timedelta(hours=hours)), datetime(2026, 11, 24, tzinfo=UTC)
    times = [begin + timedelta(seconds=seconds) for seconds in (0, 1, 60, 61, 120)]
    heard = Heard()
    position = LogPosition(heard, Section("token", "train", shared=False))
    for end in (2, 4, 5):  # the connection ends after so many
        position.reopen()
        since = datetime.fromisoformat(position.since().get("sinceTime", "2026-01-01T00:00:00Z"))
        for number in range(end):
            if times[number] >= since:
                position.accept(f"{times[number].astimezone(zone).isoformat()} line {number}".encode())
    assert heard.lines == [f"line {number}" for number in range(5)]
    assert heard.times == times
