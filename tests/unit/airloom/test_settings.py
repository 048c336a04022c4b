"""Settings that cannot be meant are refused, with what to give."""

from __future__ import annotations

import pytest

from airloom.errors import ConfigError
from airloom.settings import load_settings


@pytest.mark.parametrize(("value", "seconds"), [(None, 300), ("", 300), ("0", 0), ("2.5", 2.5)])
def test_how_long_the_store_may_be_away_can_be_set(value: str | None, seconds: float) -> None:
    assert load_settings({} if value is None else {"AIRLOOM_STORE_SECONDS": value}).store_seconds == seconds


@pytest.mark.parametrize("value", ["-1", "5 minutes", "nan", "inf"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=f"AIRLOOM_STORE_SECONDS is '{value}'; give seconds, such as 300"):
        load_settings({"AIRLOOM_STORE_SECONDS": value})
