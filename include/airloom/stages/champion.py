"""The champion's succession, as the registry keeps it. Used by promote and rollback.

The alias `champion` names the version that serves. Each version that becomes champion is tagged with the one before
it (`airloom.previous`) and with the run that made the change (`airloom.promoted_by`), so a repeated run changes
nothing, and a rollback knows where to return to.
"""

from __future__ import annotations

from airloom.ports.model_registry import ModelRegistry, ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
_PREVIOUS = "airloom.previous"
_PROMOTED_BY = "airloom.promoted_by"


def promote(registry: ModelRegistry, version: ModelVersion, champion: ModelVersion | None, run_id: str) -> str | None:
    """Make a version the champion; the version before it, None where there was none.

    Tags come before the alias: killed in between, the run is simply done again.
    """
    if champion is not None and champion.version == version.version:
        return champion.tags.get(_PREVIOUS) or None
    previous = champion.version if champion else ""
    registry.tag(version.name, version.version, {_PREVIOUS: previous, _PROMOTED_BY: run_id})
    registry.set_alias(version.name, CHAMPION, version.version)
    return previous or None


def made_by(version: ModelVersion | None, run_id: str) -> bool:
    """Whether this run made the version champion."""
    return version is not None and version.tags.get(_PROMOTED_BY) == run_id


def was_champion(version: ModelVersion) -> bool:
    """Whether the version is or ever was champion."""
    return bool(version.tags.get(_PROMOTED_BY))


def previous_of(version: ModelVersion) -> str | None:
    """The champion before this one."""
    return version.tags.get(_PREVIOUS) or None


def restore(registry: ModelRegistry, champion: ModelVersion, previous: ModelVersion, run_id: str) -> None:
    """Bring the champion before back. Its own predecessor stays as it was: two rollbacks go back two versions."""
    registry.tag(champion.name, champion.version, {"airloom.rolled_back_by": run_id})
    registry.tag(previous.name, previous.version, {_PROMOTED_BY: run_id})
    registry.set_alias(previous.name, CHAMPION, previous.version)
