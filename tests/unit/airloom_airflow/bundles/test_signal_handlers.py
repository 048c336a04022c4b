"""The DAG processor's handlers of signals are set aside without a look at its manager, and do what they did."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from airloom_airflow.bundles.signal_handlers import shorten_signal_handlers


class _Manager:
    """Counts how often its `repr` is made."""

    def __init__(self) -> None:
        self.shown = 0
        self.handled: list[int] = []

    def __repr__(self) -> str:
        self.shown += 1
        return "every file that waits to be read"

    def handle(self, number: int, frame: object) -> None:
        self.handled.append(number)


@pytest.fixture
def manager() -> Iterator[_Manager]:
    made = _Manager()
    before = signal.signal(signal.SIGUSR2, made.handle)
    try:
        yield made
    finally:
        signal.signal(signal.SIGUSR2, before)


def _set_back(manager: _Manager) -> int:
    """As a process does that was forked for a file; how often it made the manager's `repr`."""
    shown = manager.shown
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    return manager.shown - shown


def test_a_forked_process_makes_no_repr_of_the_manager(manager: _Manager) -> None:
    shorten_signal_handlers()
    assert _set_back(manager) == 0


def test_without_it_a_forked_process_does(manager: _Manager) -> None:
    assert _set_back(manager) == 1


def test_the_manager_still_handles_the_signal(manager: _Manager) -> None:
    shorten_signal_handlers()
    os.kill(os.getpid(), signal.SIGUSR2)
    assert manager.handled == [signal.SIGUSR2]


def test_a_handler_that_is_no_method_stays() -> None:
    before = signal.getsignal(signal.SIGINT)
    shorten_signal_handlers()
    assert signal.getsignal(signal.SIGINT) is before
