"""Whether a file or folder could be written, by what is there; it makes none. `installation` and `services` ask it."""

from __future__ import annotations

import os
from pathlib import Path


def find_folder_fault(folder: Path) -> str | None:
    """Why a folder can be neither written nor made; None where it can."""
    place = next(each for each in (folder, *folder.parents) if _exists(each))
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return f"{place} is no folder that this user can write"
    return _find_name_fault(folder)


def find_file_fault(file: Path) -> str | None:
    """Why a file can be neither written nor made; None where it can."""
    if not _exists(file):
        return find_folder_fault(file.parent) or _find_name_fault(file)
    if file.is_dir():
        return f"{file} is a folder"
    return None if os.access(file, os.W_OK) else f"{file} is no file that this user can write"


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # Path.exists raises where a name is too long, say
        return False
    return True


def _find_name_fault(path: Path) -> str | None:
    """What the operating system has against the path itself, such as its length."""
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"there can be no {path}: {error.strerror}"
    return None
