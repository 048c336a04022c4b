"""The object store: bytes by URI, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from airloom.protocol import Artifact


class ObjectStore(Protocol):
    """Errors of every method: UnavailableError where the store cannot do it now, of which StoreAwayError where it does
    not answer; DataError where there is no such object to read; ConfigError for a URI of a scheme that is not this
    store's."""

    def read(self, uri: str) -> bytes: ...

    def read_unless(self, uri: str, etag: str | None) -> tuple[bytes, str] | None:
        """The object and its ETag, which changes with its content; None where it still has the ETag given."""
        ...

    def write(self, uri: str, content: bytes) -> Artifact:
        """Write atomically, over what was there; readers see the old bytes or the new, never a part."""
        ...

    def replace(self, uri: str, content: bytes, etag: str | None) -> str | None:
        """Write atomically only over the object with that ETag, or (None) only where nothing is.

        Returns:
            The new ETag; None where something else is there, and nothing was written.
        """
        ...

    def upload(self, source: Path, uri: str) -> Artifact:
        """Put a file there, atomically."""
        ...

    def upload_tree(self, source: Path, uri: str) -> str:
        """Put a folder's files under the prefix; gives the prefix back."""
        ...

    def local(self, uri: str) -> Path:
        """The object as a local file to read: itself for a folder store, a cached copy for a bucket."""
        ...

    def folder(self, prefix: str) -> Path:
        """A local folder for files of a vendor that keeps its own (a feature store's database). Made if need be.

        For a folder store, the prefix itself. For a bucket, a private copy of what was published last: the same one as
        before where nothing was since, else a new one; the one before the last given is removed.
        """
        ...

    def publish_folder(self, prefix: str) -> None:
        """Let others see what was written into the open `folder`, whole: a reader has all of the files before, or all
        after. Nothing to do for a folder store.

        Errors:
            UnavailableError: another process has published since the folder was opened; nothing was published.
        """
        ...

    def exists(self, uri: str) -> bool: ...

    def list(self, prefix: str) -> Iterable[str]:
        """URIs of all objects under the prefix, sorted."""
        ...

    def delete(self, uri: str) -> None:
        """Remove the object; quiet where there is none."""
        ...
