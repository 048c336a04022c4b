"""Secrets: found by name, and kept out of everything that is written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO, cast

from pydantic import JsonValue

from airloom.errors import ConfigError
from airloom.secret_values import DECLARED_PREFIX, find_secret_values

_MASK = "***"
_SHORTEST = 4
"""Shorter values are not masked: they would blot out ordinary text."""


def load_secret(name: str, environ: Mapping[str, str]) -> str:
    """See `airloom.ports.Ports.secret`."""
    if (value := environ.get(DECLARED_PREFIX + name.upper())) is not None:
        return value
    folder = environ.get("AIRLOOM_SECRETS_DIR")
    if folder and (path := Path(folder) / name).is_file():
        return path.read_text().rstrip("\n")
    raise ConfigError(
        f"secret {name!r} is not set. Set {DECLARED_PREFIX}{name.upper()}, or put a file {name} into the folder that "
        "AIRLOOM_SECRETS_DIR names."
    )


class Redactor:
    """Masks in text that is about to leave the stage: declared secrets, and values of variables named like one.

    Args:
        environ: the stage's; see `airloom.secret_values` for which names count.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        folder = environ.get("AIRLOOM_SECRETS_DIR")
        files = [path for path in Path(folder).iterdir() if path.is_file()] if folder and Path(folder).is_dir() else []
        declared = {f"{DECLARED_PREFIX}{path}": path.read_text().rstrip("\n") for path in files}
        values = find_secret_values({**environ, **declared})
        spellings = {spelling for value in values for spelling in (value, json.dumps(value)[1:-1])}
        self._values = sorted((value for value in spellings if len(value) >= _SHORTEST), key=len, reverse=True)

    def redact(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, _MASK)
        return text

    def redact_texts(self, value: JsonValue) -> JsonValue:
        """The same value, its texts masked. Keys and numbers stay: one that holds a password by chance is none."""
        if isinstance(value, dict):
            return {key: self.redact_texts(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.redact_texts(each) for each in value]
        return self.redact(value) if isinstance(value, str) else value

    def stream(self, target: TextIO) -> TextIO:
        """A text stream that masks whole lines on their way to `target`; itself where there are no secrets."""
        return cast(TextIO, _RedactedStream(target, self)) if self._values else target


class _RedactedStream:
    """Holds a line back until it is whole, so that a secret written in pieces is masked too."""

    def __init__(self, target: TextIO, redactor: Redactor) -> None:
        self._target = target
        self._redactor = redactor
        self._pending = ""

    def write(self, text: str) -> int:
        lines = (self._pending + text).splitlines(keepends=True)
        self._pending = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        self._target.write(self._redactor.redact("".join(lines)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def close_pending(self) -> None:
        self._target.write(self._redactor.redact(self._pending))
        self._pending = ""
        self._target.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)
