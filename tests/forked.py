"""Does something in a forked child, with a time limit: what hangs there is ended, and fails the test."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any


def call_in_fork(action: Callable[[], Any], seconds: int = 20) -> Any:
    """What the action gives or raises in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            answer: Any = action()
        except BaseException as error:
            answer = error
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child was ended after {seconds} s: {status}"
    return pickle.loads(content)
