"""The model registry: numbered versions of a named model, and the aliases `challenger` and `champion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True)
class ModelVersion:
    """One registered version.

    Attributes:
        name: of the model.
        version: its number, as text.
        uri: what a tracker loads it by.
        run_id: the training run that made it; None if unknown.
        tags: name → text.
        metadata: the `airloom` part of the model's metadata (features, target, views, …); empty if unknown.
    """

    name: str
    version: str
    uri: str
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


class ModelRegistry(Protocol):
    """Errors of every method: UnavailableError where the registry does not answer."""

    def names(self) -> tuple[str, ...]:
        """All models that the registry knows."""
        ...

    def register(self, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """The version of this model and run; a new one only if there is none yet."""
        ...

    def find(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias names; None where there is none (or no such model)."""
        ...

    def require(self, name: str, version: str) -> ModelVersion:
        """One version.

        Errors:
            DataError: there is no such version.
        """
        ...

    def list(self, name: str) -> tuple[ModelVersion, ...]:
        """All versions, oldest first."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None: ...

    def remove_alias(self, name: str, alias: str) -> None:
        """Quiet where there is none."""
        ...

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None: ...
