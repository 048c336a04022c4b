"""Keeps the feature stores that requests look up in as new as what was published, off the requests' path.

One daemon thread, from the first store on. A store that is away changes nothing: what it had is still looked up.
"""

from __future__ import annotations

import logging
import threading
import time

from airloom.ports import FeatureStore

log = logging.getLogger("airloom.serving")


class FeatureFollower:
    """Asks every store that it follows again and again.

    Args:
        poll_seconds: between two looks.
    """

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._followed: tuple[FeatureStore, ...] = ()
        self._lock = threading.Lock()
        self._trouble: dict[int, str] = {}

    def follow(self, store: FeatureStore) -> FeatureStore:
        """The store, followed from now on; asking again costs nothing."""
        if store not in self._followed:
            with self._lock:
                if store not in self._followed:
                    self._followed = (*self._followed, store)
                    if len(self._followed) == 1:
                        threading.Thread(target=self._run, name="features", daemon=True).start()
        return store

    def _run(self) -> None:
        while True:
            for store in self._followed:
                self._refresh(store)
            time.sleep(self._poll_seconds)

    def _refresh(self, store: FeatureStore) -> None:
        try:
            store.refresh()
        except Exception as error:
            if id(store) not in self._trouble:
                log.warning("the online features are not refreshed, what is there is used: %s", error)
            self._trouble[id(store)] = str(error)
        else:
            if self._trouble.pop(id(store), None):
                log.info("the online features are refreshed again")
