"""One home has one runtime, however many start it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from airloom.embedded.runtime import Runtime
from airloom.embedded.state import log_path
from airloom.errors import ConfigError
from airloom.settings import load_settings


def test_a_second_start_beside_the_first_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    """The first has looked and found nothing, and its supervisor has not written its state yet."""
    with (tmp_path / "runtime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="somebody else starts or stops"):
            Runtime(load_settings({"AIRLOOM_HOME": str(tmp_path)})).start()
    assert not log_path(tmp_path, "supervisor").exists()
