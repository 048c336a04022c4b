"""Reads a container's log from the API server and passes it on: each line once and in order, however often its
connection breaks, and until its last.

`pod_watch` follows a running pod's log by it; the operator and `pod_kill` read one that is there already by
`LogPosition` and `read_lines`. It knows nothing of what becomes of the pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp

from airloom.protocol.section import Section
from airloom_airflow import metrics
from airloom_airflow.pods.pod import CONTAINER
from airloom_airflow.triggers.cluster_client import ClusterClient

Write = Callable[[str, datetime], None]
"""Gets one line of a stage's log, and when it was written; the time is later for each line."""

_SILENCE_SECONDS = 60.0
"""How long a log may be silent before it is opened anew: a connection that was dropped in silence says nothing either.
A stage that writes nothing costs one request in this time."""
_TAIL_SECONDS = 1.0
"""How long a log may go on after its pod's end before what is left of it is asked for by a request of its own."""
_REFUSALS_AT_END = 2
"""How often an ended pod's log is asked for where the API server is there and the pod's node is not."""
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
LONGEST_LINE = 65536
"""In bytes; what is longer is passed on in pieces."""
_AT_ONCE = 500
"""Lines between two turns of everybody else on the event loop."""
_RECENT_LINES = 2000
_WORDS = 20
"""Of the kubelet's own, the last that are known."""
_OVERLAP = timedelta(seconds=2)
"""Twice what is read again, beside a part of a second, where a log is opened anew."""
_STEP = timedelta(milliseconds=1)
_SMALL_STEP = timedelta(microseconds=1)
_AHEAD = timedelta(seconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class LogFollower:
    """Follows one pod's log, in a task of its own.

    Args:
        client: of the pod's cluster.
        place: namespace and name of the pod.
        position: gets the lines.
        notify: called once, when the section's end was read.
    """

    def __init__(
        self, client: ClusterClient, place: tuple[str, str], position: LogPosition, notify: Callable[[], None]
    ) -> None:
        self._client = client
        self._namespace, self._name = place
        self._position = position
        self._notify = notify
        self._ended = asyncio.Event()
        self._answer: aiohttp.ClientResponse | None = None
        self._problem, self._opened = "", False
        self._task = asyncio.create_task(self._run())

    async def finish(self, patience_seconds: float) -> None:
        """The pod has ended: return when its last line was passed on, or when for so long no other came."""
        self._ended.set()
        closing = asyncio.get_running_loop().call_later(_TAIL_SECONDS, self._close_answer)
        try:
            while not self._task.done():
                before = self._position.accepted
                await asyncio.wait([self._task], timeout=patience_seconds)
                if self._position.accepted == before:
                    break
        finally:
            closing.cancel()

    def stop(self) -> None:
        """Read no more."""
        self._task.cancel()

    async def _run(self) -> None:
        pause, refusals = _FIRST_PAUSE_SECONDS, 0
        while refusals < _REFUSALS_AT_END:
            ended, before = self._ended.is_set(), self._position.accepted
            try:
                if await self._read(follow=not ended):
                    return
            except Exception as error:
                refusals += ended and isinstance(error, _RefusedError)
                self._report(str(error) or type(error).__name__)
            pause = _FIRST_PAUSE_SECONDS if self._position.accepted > before else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if ended:
                await asyncio.sleep(_FIRST_PAUSE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)

    async def _read(self, *, follow: bool) -> bool:
        """Read until the connection ends. True: there is no more to read, ever."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self._name}/log"
        query = {"container": CONTAINER, "follow": follow, "timestamps": True, **self._position.since()}
        silence = _SILENCE_SECONDS if follow else _LONGEST_PAUSE_SECONDS
        async with self._client.get(path, query, silence) as answer:
            if answer.status == 400:  # the container is about to start, or never did
                return not follow
            if answer.status == 404:
                return True
            if answer.status != 200:
                raise _RefusedError(f"status {answer.status}")
            if self._opened and follow:
                metrics.count("airloom.log.reconnects", namespace=self._namespace)
            self._opened, self._problem = True, ""
            self._answer = answer if follow else None
            try:
                # Where a followed log ends in order, its container has ended or its kubelet begins anew: the pod's end
                # says which, and is waited for.
                return await self._pass_on(answer, rest=not follow) or not follow
            finally:
                self._answer = None

    async def _pass_on(self, answer: aiohttp.ClientResponse, *, rest: bool) -> bool:
        """Whether the section's end was among the lines."""
        self._position.reopen()
        async for line in read_lines(answer, LONGEST_LINE, rest=rest):
            self._position.accept(line)
            if self._position.is_over:
                self._notify()
                return True
            if self._position.accepted % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return False

    def _close_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            log.info("the log of pod %s broke off (%s); reading on", self._name, problem)
        self._problem = problem


class _RefusedError(Exception):
    """The API server has answered, and has no log for us: its pod's node does not, or we may not read it."""


class LogPosition:
    """How far a log has been passed on, and which part of it is.

    Args:
        write: gets the lines.
        section: says which lines count.

    Attributes:
        accepted: how many lines were read, those of other sections too.
        section: as given.

    Times: Airflow puts the lines that several triggerers logged in order by their milliseconds, and drops one that
    follows its equal in time and text. So a line's time is the container's own, moved to a millisecond after the line
    before: the same for every reader. In a burst it would run ahead without end; where it is a second ahead, it is
    moved by a microsecond. That keeps one triggerer's lines in order and equal lines apart; of a burst that two
    triggerers read, some lines may show twice.

    A node's clock that is set back by more than a second, and a connection that breaks before it has caught up, lose
    the lines between: Kubernetes is asked for lines by their time alone.

    What is read again is told from what is new by counting: the API server gives the same lines from the same second
    on. Where the first of them is another one (the log was rotated), it is told by the last lines and their times.
    """

    def __init__(self, write: Write, section: Section) -> None:
        self.accepted = 0
        self._write = write
        self.section = section
        self._written = self._newest = self._forgotten = _NEVER
        self._recent: deque[tuple[datetime, int]] = deque()
        self._seconds: dict[datetime, _Second] = {}
        self._words: deque[str] = deque(maxlen=_WORDS)
        self._known: Counter[int] = Counter()
        self._again = False
        self._skip, self._first = 0, 0

    @property
    def is_over(self) -> bool:
        """The section's end was read."""
        return self.section.status is not None

    def since(self) -> dict[str, str]:
        """Query that spares the reading of what is known already."""
        if self._newest == _NEVER:
            return {}
        return {"sinceTime": f"{self._since:%Y-%m-%dT%H:%M:%SZ}"}

    def reopen(self) -> None:
        """The log is read again, from `since` on: what was accepted is not accepted again."""
        self._known = Counter(mark for _, mark in self._recent)
        self._again = bool(self.accepted)
        self._skip = sum(second.count for second in self._seconds.values())
        self._first = min(self._seconds.values(), key=lambda second: second.place).first if self._seconds else 0

    def accept(self, line: bytes) -> None:
        """The next line, as the API server gives it with timestamps."""
        stamp, text = _split(line)
        if self._is_known(line, stamp, text):
            return
        self.accepted += 1
        when = self._newest if stamp is None else stamp
        self._newest = max(self._newest, when)
        if stamp is None:
            self._words.append(text)
        else:
            self._remember(stamp, hash(line))
        step = _STEP if self._written - when < _AHEAD else _SMALL_STEP
        self._written = max(when, self._written + step)
        if self.section.accepts(text):
            self._write(text, self._written)

    def _is_known(self, line: bytes, stamp: datetime | None, text: str) -> bool:
        if stamp is None:  # the kubelet's own word, which is not in the log: said again, it says nothing new
            return text in self._words
        mark = hash(line)
        if self._first and mark == self._first:
            self._again = False
            self._known.clear()
        elif self._first:
            self._skip = 0
        self._first = 0
        if self._skip:
            self._skip -= 1
            return True
        known = self._known[mark] > 0
        self._known[mark] -= known
        stale = known or (self._again and stamp <= self._forgotten)
        self._again = self._again and stamp <= self._newest
        return stale

    @property
    def _since(self) -> datetime:
        """From when on the log is read again: Kubernetes takes whole seconds, and two streams write into one log."""
        return _floor(self._newest - _OVERLAP / 2)

    def _remember(self, when: datetime, mark: int) -> None:
        """Keep what may be read again: the last two seconds' lines, and of a burst the last; and how many lines each
        second has from which the log may be read again."""
        self._recent.append((when, mark))
        while len(self._recent) > _RECENT_LINES or (self._newest - self._recent[0][0] > _OVERLAP):
            self._forgotten = max(self._forgotten, self._recent.popleft()[0])
        self._seconds.setdefault(_floor(when), _Second(self.accepted, mark)).count += 1
        for second in [each for each in self._seconds if each < self._since]:
            del self._seconds[second]


@dataclass
class _Second:
    """The accepted lines of one second.

    Attributes:
        place: of its first line among all.
        first: mark of that line.
    """

    place: int
    first: int
    count: int = 0


def _floor(when: datetime) -> datetime:
    return when.replace(microsecond=0)


async def read_lines(
    answer: aiohttp.ClientResponse, longest: int | None = None, *, rest: bool = True
) -> AsyncIterator[bytes]:
    """The lines of an answer, as `split_lines` gives them.

    Args:
        rest: what follows the last line's end is a line too, not one that is being written.
    """
    cutter = _LineCutter(longest)
    async for chunk in answer.content.iter_any():
        for line in cutter.feed(chunk):
            yield line
    for line in cutter.rest() if rest else ():
        yield line


def split_lines(chunks: Iterable[bytes], longest: int | None) -> Iterator[bytes]:
    """The lines of a body that comes in chunks, without their ends.

    Args:
        longest: in bytes. A longer line comes in pieces, each with the time stamp of the line.
    """
    cutter = _LineCutter(longest)
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield from cutter.rest()


class _LineCutter:
    """Cuts chunks into lines. It holds no more than one line, of the longest length, and one chunk."""

    def __init__(self, longest: int | None) -> None:
        self._longest = longest
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in the next chunk, and pieces of a long one."""
        seen, start = len(self._pending), 0
        self._pending += chunk
        while (end := self._pending.find(b"\n", max(start, seen))) >= 0:
            yield from _cut(bytes(self._pending[start:end]), self._longest)
            start = end + 1
        del self._pending[:start]
        if self._longest is not None and len(self._pending) > self._longest:
            *pieces, last = _cut(bytes(self._pending), self._longest)
            yield from pieces
            self._pending = bytearray(last)

    def rest(self) -> Iterator[bytes]:
        """What follows the last line's end."""
        if self._pending:
            yield bytes(self._pending)


def _cut(line: bytes, longest: int | None) -> Iterator[bytes]:
    while longest is not None and len(line) > longest:
        end = longest
        while line[end] & 0xC0 == 0x80 and end > longest - 4:  # in a letter of several bytes (UTF-8: four at most)
            end -= 1
        yield line[:end]
        stamp = line[: line.find(b" ", 0, 40) + 1]
        line = stamp + line[end:]
    yield line


def _split(line: bytes) -> tuple[datetime | None, str]:
    """When a line was written, and what it says."""
    stamp, _, text = line.decode(errors="replace").rstrip("\r\n").partition(" ")
    try:
        return _parse(stamp), text
    except ValueError:  # not of the container, such as a word of the kubelet
        return None, f"{stamp} {text}"


def _parse(stamp: str) -> datetime:
    """RFC 3339, in UTC. Its fraction has as many digits as it needs, and containerd writes it in its node's time zone
    (`internal/cri/io/logger.go`), which the kubelet keeps.

    Errors:
        ValueError: it is no time.
    """
    if stamp.endswith("Z"):
        return datetime.fromisoformat(f"{stamp[:26].rstrip('Z')}+00:00")
    return datetime.fromisoformat(f"{stamp[:-6][:26]}{stamp[-6:]}").astimezone(UTC)
