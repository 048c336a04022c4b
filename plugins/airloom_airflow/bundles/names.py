"""Names of pipeline files: which are refused, how they are shown, and what their DAG files are called. Pure.

`dag_files`, `loader` and `bucket` ask it, so that a name which a disk, a database or a log does not take costs its own
file alone. Not here: which files are pipeline files (`claims`).
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import PurePosixPath

MAX_BYTES = 240
"""Of a file's name: a disk takes 255, and Airflow adds `.py` and `.log` to it."""

REFUSED_FOLDER = "_refused"
"""Of the DAG files that stand for refused ones: no team is called so."""

_TEAM = re.compile("[a-z0-9]+(?:[_-][a-z0-9]+)*")
_SHOWN_LENGTH = 100


def is_team(folder: str) -> bool:
    """Whether a team may be called so."""
    return _TEAM.fullmatch(folder) is not None


def refuse_name(file: str) -> str | None:
    """What is wrong with the name of a file, and what to do; None where it will do.

    Args:
        file: a path below the folder of pipeline files, or a key below a bucket's prefix.
    """
    path = PurePosixPath(file)
    if not file.isprintable():  # bytes that are no UTF-8 are surrogates here, which are not printable either
        return (
            "its name is not UTF-8, or holds characters that cannot be shown; rename it, with letters, digits, _ and -"
        )
    if path.as_posix() != file:
        return "its key has an empty part or a `.` in it; give it one that a file can have, <team>/<pipeline>.yaml"
    if len(path.parts) > 1 and not is_team(path.parts[0]):
        return (
            f"its folder {path.parts[0]!r} is no team's name; rename the folder, with lower-case words and digits "
            "joined by single _ or -"
        )
    if (size := len(path.name.encode())) > MAX_BYTES:
        return f"its name has {size} bytes, and {MAX_BYTES} are allowed; give it a shorter one"
    return None


def show_name(file: str) -> str:
    """A file's name as it can be written anywhere: bytes that are no UTF-8 and control characters escaped."""
    if file.isprintable():
        return file
    text = os.fsencode(file).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def shorten_name(file: str) -> str:
    """A name that every disk, database and log takes: the file's own as far as can be, and of it a digest."""
    plain = re.sub(r"[^\w.-]", "-", file, flags=re.ASCII)
    return f"{plain[:_SHOWN_LENGTH]}.{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"


def build_stub_name(file: str) -> str:
    """Where the DAG file of a pipeline file lies, below the folder of DAG files."""
    return f"{file}.py" if refuse_name(file) is None else f"{REFUSED_FOLDER}/{shorten_name(file)}.py"
