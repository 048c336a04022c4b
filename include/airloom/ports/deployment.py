"""Deployment: the champion, served."""

from __future__ import annotations

from typing import Protocol


class Deployment(Protocol):
    def deploy(self, model: str, version: str, timeout_seconds: float) -> str:
        """Wait until this version of the model answers requests.

        Returns:
            The model's address for requests.

        Errors:
            UnavailableError: the serving side does not answer, or does not serve the version in time.
        """
        ...
