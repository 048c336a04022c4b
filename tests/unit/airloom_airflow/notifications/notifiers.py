"""Notifiers of the tests, as an installation would bring its own."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseNotifier


class Kept(BaseNotifier):
    """Keeps the text that it rendered; has only Airflow's synchronous way."""

    template_fields = ("text",)
    said: ClassVar[list[str]] = []

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.said.append(self.text)


class KeptAsynchronously(Kept):
    """The same, in the way that a triggerer prefers."""

    async def async_notify(self, context: Any) -> None:
        self.said.append(f"async {self.text}")


def no_notifier() -> None: ...
