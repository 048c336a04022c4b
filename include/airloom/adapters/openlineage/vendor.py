"""Loads what needs the vendor's library, when the first event is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airloom.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def load_events() -> ModuleType:
    """The module `events`.

    Errors:
        MissingExtraError: openlineage-python is not installed.
    """
    try:
        from airloom.adapters.openlineage import events
    except ModuleNotFoundError as error:
        raise MissingExtraError("openlineage", "openlineage") from error
    return events
