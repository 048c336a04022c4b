"""Says in a forked child that obstore cannot be used there, instead of hanging for ever. Both sides call it.

obstore has one runtime of Rust's for a process, whose threads do not survive a fork: a child would wait for them.
"""

from __future__ import annotations

import os

from airloom.errors import ConfigError

_user: int | None = None
"""The process that used obstore first."""


def require_own_process() -> None:
    """Call it before each use.

    Errors:
        ConfigError: this process was forked from one that has used obstore.
    """
    global _user
    _user = _user or os.getpid()
    if _user != os.getpid():
        raise ConfigError(
            f"process {os.getpid()} was forked from process {_user}, which has used gs:// or az:// objects, and cannot "
            "use them itself. Start it by multiprocessing's spawn or forkserver, or as a program, or fork earlier."
        )
