"""YAML text → plain data, with the line and column of every key and value. `loader` calls it for each file.

Nothing but mappings, lists, text, numbers, booleans and null can come out: the parser's events are put together here,
so there is no constructor that a tag could reach. Values are read as YAML 1.2 does, like editors that follow the JSON
Schema: `no`, `on` and `2013-01-01` are text. Hostile files (deep nesting, alias bombs, huge) are refused early. Not
here: which files are read (`file_reading`), what the data must look like (`pipeline`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from airloom.errors import Finding, SpecError
from airloom.spec.file_reading import MAX_BYTES, read_file

MAX_DEPTH = 50
MAX_VALUES = 100_000

Key = str | int
Place = tuple[int, int]
"""Line and column, counted from 1."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it is there
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_BASED = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True)
class Document:
    """One YAML file.

    Attributes:
        data: its plain data; shared by aliases, so never to be changed.
        places: id of a mapping or list in `data` → key or index → places of the key and of its value.
    """

    file: str
    data: Any
    places: dict[int, dict[Key, tuple[Place, Place]]]

    @property
    def kind(self) -> str | None:
        """`kind` of the envelope; None where the file has none."""
        kind = self.data.get("kind") if isinstance(self.data, dict) else None
        return kind if isinstance(kind, str) else None

    def find(self, path: tuple[Key, ...], of_key: bool = False) -> tuple[int, Place]:
        """How many steps of the path exist here, and where the last of those stands.

        Args:
            path: keys and indexes from the top.
            of_key: the place of the key rather than of its value.
        """
        value, place = self.data, (1, 1)
        for depth, key in enumerate(path):
            known = self.places.get(id(value), {})
            if key not in known:
                return depth, place
            place = known[key][0 if of_key else 1]
            value = value[key]
        return len(path), place


def load_document(path: Path, root: Path | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: the file.
        root: the folder that it must lie in, links followed; left out, it may lie anywhere.

    Errors:
        SpecError: it cannot be read (`read_file`), is too large, too deep, no UTF-8, no YAML, holds a duplicate key or
            a tag.
    """
    return parse_document(read_file(path, root), str(path))


def parse_document(raw: bytes, file: str) -> Document:
    """Read YAML text.

    Args:
        raw: the file's bytes.
        file: its name, for the findings.

    Errors:
        SpecError: see `load_document`.
    """
    if len(raw) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES:,} bytes; a pipeline file holds no data, so name a source instead"
        raise SpecError(findings=[Finding(file, 0, 0, "", message)])
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = (before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1)
        message = f"byte {raw[error.start]:#04x} at offset {error.start} is not UTF-8; save the file as UTF-8"
        raise SpecError(findings=[Finding(file, *place, "", message)]) from error
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        raise SpecError(findings=[*builder.findings, _describe(error, file, text)]) from error
    if builder.findings:
        raise SpecError(findings=builder.findings)
    return Document(file, builder.data, builder.places)


def _describe(error: yaml.YAMLError, file: str, text: str) -> Finding:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML forbids; told by its offset
        offset = getattr(error, "position", 0)
        before = text[:offset] if isinstance(offset, int) else ""
        place = (before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
        return Finding(file, *place, "", "not YAML: control characters are not allowed; remove them, or escape them")
    lines = text.splitlines() or [""]
    line, column = (mark.line, mark.column) if mark.line < len(lines) else (len(lines) - 1, len(lines[-1]))
    said = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    begun = getattr(error, "context_mark", None)
    if begun is not None and begun.line != line:
        said += f" (begun in line {begun.line + 1})"
    tabbed = "\t" in lines[line][: column + 1]
    remedy = "indent with spaces, not tabs" if tabbed else "check indentation, quotes and brackets here and just above"
    return Finding(file, line + 1, column + 1, "", f"not YAML: {said}; {remedy}")


@dataclass
class _Frame:
    """A mapping or list that is still open."""

    value: dict[str, Any] | list[Any]
    place: Place
    anchor: str | None
    places: dict[Key, tuple[Place, Place]] = field(default_factory=dict)
    key: tuple[str, Place] | None = None
    size: int = 1


class _Builder:
    """Puts the parser's events together, without recursion."""

    def __init__(self, file: str) -> None:
        self.data: Any = None
        self.places: dict[int, dict[Key, tuple[Place, Place]]] = {}
        self.findings: list[Finding] = []
        self._file = file
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add one event; raises SpecError where going on makes no sense."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._take_scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._open({}, event)
        elif kind is yaml.SequenceStartEvent:
            self._open([], event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close()
        elif kind is yaml.AliasEvent:
            self._take_alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._stop(event, "a second document begins; give each pipeline a file of its own")

    def _take_scalar(self, event: Any) -> None:
        text: str = event.value
        place = _place(event)
        if "\0" in text:
            self._tell(place, "a NUL character in text; remove it")
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            if text in frame.places:
                first = frame.places[text][0][0]
                self._tell(place, f"{shorten(text)} is here twice, first in line {first}; remove one")
            frame.key = (text, place)
            return
        if event.tag not in _TEXT_TAGS:
            self._refuse_tag(event)
        value: Any = text
        if event.implicit[0]:  # neither quoted nor tagged
            try:
                value = read_plain(text)
            except ValueError as error:
                self._tell(place, str(error))
        self._add(value, place, event.anchor, 1)

    def _take_alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._stop(event, f"*{event.anchor} names no finished anchor above; write &{event.anchor} there first")
        if self._stack and self._stack[-1].key is None and type(self._stack[-1].value) is dict:
            self._stop(event, "an alias cannot be a key; write the key out")
        value, size = self._anchors[event.anchor]
        self._add(value, _place(event), None, size)

    def _open(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag not in (None, "!"):
            self._refuse_tag(event)
        if self._stack and self._stack[-1].key is None and type(self._stack[-1].value) is dict:
            self._stop(event, "a key must be text, not a mapping or list")
        if len(self._stack) >= MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels; no part of a pipeline file is")
        self._stack.append(_Frame(value, _place(event), event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        self.places[id(frame.value)] = frame.places
        self._add(frame.value, frame.place, frame.anchor, frame.size)

    def _add(self, value: Any, place: Place, anchor: str | None, size: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self.data = value
            return
        frame = self._stack[-1]
        frame.size += size
        if frame.size > MAX_VALUES:
            message = f"more than {MAX_VALUES:,} values, aliases written out; keep data in a source"
            raise SpecError(findings=[*self.findings, Finding(self._file, *place, "", message)])
        if isinstance(frame.value, list):
            frame.places[len(frame.value)] = (place, place)
            frame.value.append(value)
        else:
            assert frame.key is not None
            name, key_place = frame.key
            frame.places[name] = (key_place, place)
            frame.value[name] = value
            frame.key = None

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._tell(_place(event), f"the tag {tag} is not allowed; pipeline files hold plain values only, so remove it")

    def _tell(self, place: Place, message: str) -> None:
        keys = tuple(frame.key[0] for frame in self._stack if frame.key is not None)
        self.findings.append(Finding(self._file, *place, join_path(keys), message))

    def _stop(self, event: Any, message: str) -> None:
        self._tell(_place(event), message)
        raise SpecError(findings=self.findings)


def shorten(value: Any) -> str:
    """A value as it can be shown in a message: at most 60 characters."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a mapping with {shorten(', '.join(map(str, value)))}" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…{text[-1]}"


def join_path(path: tuple[Key, ...]) -> str:
    """A path as it is shown, such as `spec.train.params`; control characters escaped, at most 200 characters."""
    text = ".".join(map(str, path))
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= 200 else f"{shown[:199]}…"


def read_plain(text: str) -> Any:
    """An unquoted value as YAML 1.2 reads it: null, boolean, number, or else the text itself.

    Errors:
        ValueError: a number that is not finite, or of more than 400 digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("this number is too large; quote it if it is meant as text")
        return number
    return text


def _place(event: Any) -> Place:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1
