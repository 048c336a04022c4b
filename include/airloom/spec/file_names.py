"""Names of pipeline files: which will do, and how they are shown. Pure.

`loader` refuses by it, and the Airflow side's bundles, so that a name which a disk, a log or a database does not take
costs its own file alone. Not here: which files are pipeline files.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath

MAX_BYTES = 240
"""Of a file's name: a disk takes 255, and Airflow adds `.py` and `.log` to it."""

_TEAM = re.compile("[a-z0-9]+(?:[_-][a-z0-9]+)*")


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
