"""An object store that is waited for: what a stage has done is not lost for a store that is away for a while.

`runner` gives it to a stage that is at work. It waits where the store does not answer, and nowhere else: a refusal, an
object that is not there or a folder that another run has published are answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from airloom.errors import StoreAwayError
from airloom.ports import ObjectStore
from airloom.protocol import Artifact

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 15.0

log = logging.getLogger("airloom.stages")
_Answer = TypeVar("_Answer")


class PatientObjectStore:
    """See `airloom.ports.ObjectStore`.

    Args:
        store: that is asked.
        seconds: how long it may be away at a time. Once it was for longer, nothing more waits until it has answered.

    Errors:
        StoreAwayError: it was away for longer.
    """

    def __init__(self, store: ObjectStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._given_up = False

    def read(self, uri: str) -> bytes:
        return self._wait(lambda: self._store.read(uri))

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        return self._wait(lambda: self._store.read_unless(uri, etag))

    def write(self, uri: str, content: bytes) -> Artifact:
        return self._wait(lambda: self._store.write(uri, content))

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        return self._wait(lambda: self._store.replace(uri, content, etag))

    def upload(self, source: Path, uri: str) -> Artifact:
        return self._wait(lambda: self._store.upload(source, uri))

    def upload_tree(self, source: Path, uri: str) -> str:
        return self._wait(lambda: self._store.upload_tree(source, uri))

    def local(self, uri: str) -> Path:
        return self._wait(lambda: self._store.local(uri))

    def folder(self, prefix: str) -> Path:
        return self._wait(lambda: self._store.folder(prefix))

    def publish_folder(self, prefix: str) -> None:
        self._wait(lambda: self._store.publish_folder(prefix))

    def exists(self, uri: str) -> bool:
        return self._wait(lambda: self._store.exists(uri))

    def list(self, prefix: str) -> Iterable[str]:
        return self._wait(lambda: self._store.list(prefix))

    def delete(self, uri: str) -> None:
        self._wait(lambda: self._store.delete(uri))

    def _wait(self, ask: Callable[[], _Answer]) -> _Answer:
        deadline, pause = time.monotonic() + (0 if self._given_up else self._seconds), _FIRST_PAUSE_SECONDS
        while True:
            try:
                answer = ask()
            except StoreAwayError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._given_up = True
                    raise StoreAwayError(
                        f"{error}. It was away for {self._seconds:g} s, and a stage waits no longer "
                        "(AIRLOOM_STORE_SECONDS)."
                    ) from error
                log.warning("%s; asking again, for %.0f s more at most", error, left)
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            else:
                self._given_up = False
                return answer
