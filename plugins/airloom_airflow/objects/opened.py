"""What reading an object in pieces gives. The readers of each kind of store build it; it knows none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_BYTES = 256 * 1024
"""How much of an object is held at once."""


class NoSuchRangeError(ValueError):
    """The part of an object that was asked for lies outside it."""


@dataclass(frozen=True)
class OpenObject:
    """An object of a bucket or container, or a part of it.

    Attributes:
        size: of what `chunks` gives, in bytes.
        content_range: of a part, as HTTP's Content-Range: `bytes 0-99/1000`.
        chunks: its bytes, at most `CHUNK_BYTES` at once; closing it before its end lets the connection go. Raises
            UnavailableError where the store goes away meanwhile. Empty where only the size was asked for.
    """

    size: int
    content_range: str | None
    chunks: Iterator[bytes]
