"""A feature store is followed off the requests' path; one that is away is told once, and asked on."""

from __future__ import annotations

import logging
from typing import Any

from tests.fakes.stores import MemoryFeatureStore
from tests.waiting import wait_until

from airloom.serving.feature_follower import FeatureFollower


class CountingStore(MemoryFeatureStore):
    def __init__(self) -> None:
        super().__init__({})
        self.asked = 0

    def refresh(self) -> None:
        self.asked += 1
        super().refresh()


def test_every_store_is_refreshed_and_one_that_is_away_keeps_no_other_from_it(caplog: Any) -> None:
    follower = FeatureFollower(poll_seconds=0.01)
    away, there = CountingStore(), CountingStore()
    away.away = True
    with caplog.at_level(logging.INFO, "airloom.serving"):
        for _ in range(2):
            assert follower.follow(away) is away
            assert follower.follow(there) is there
        wait_until(lambda: away.asked > 2 and there.asked > 2, "both were asked again and again")
        away.away = False
        wait_until(lambda: "refreshed again" in caplog.text, "the one that was away is back")
    assert caplog.text.count("the online store is away") == 1
