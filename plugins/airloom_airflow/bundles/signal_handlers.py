"""Lets the processes that the DAG processor forks set its signals' handlers aside in no time. `dag_processor` calls it.

The DAG processor's handlers are methods of its manager (`DagFileProcessorManager.register_exit_signals`), and each
process that it forks for a file sets them back (`supervisor._reset_signals`). Python then looks whether the handler
that was there is one of `signal.Handlers`, and where it is none writes an error with its `repr`, which nobody reads:
that of the whole manager, with every file that waits to be read. At 5,000 files it is 26 ms of processor time a file,
at 200 one. A function's `repr` is short. No issue was found, of Airflow's or of Python's (2026-11-25). It can go with
the version whose handlers are functions, or whose manager's `repr` is short.
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], object]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Those that a forked process sets back."""


def shorten_signal_handlers() -> None:
    """Have functions handle this process's signals where methods do. Once is enough; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if inspect.ismethod(handler):
            signal.signal(number, _wrap(handler))


def _wrap(handler: Handler) -> Handler:
    def handle(number: int, frame: FrameType | None) -> object:
        return handler(number, frame)

    return handle
