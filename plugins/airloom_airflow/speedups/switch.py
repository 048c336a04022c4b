"""Decides whether a patch of Airflow is on. Each patch calls it before it touches anything."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from importlib.metadata import version

from airloom.errors import ConfigError

VARIABLE = "AIRLOOM_SPEEDUPS"
"""Environment: `on` (default) or `off`."""
_log = logging.getLogger(__name__)


def is_on(patch: str, tested: Collection[str]) -> bool:
    """Whether a patch is to be used in this process; the log has a warning where it is not.

    Args:
        patch: its name, for the log.
        tested: versions of Airflow that it was tested with.

    Errors:
        ConfigError: the environment's switch is neither on nor off.
    """
    reason = find_reason_against(tested, version("apache-airflow-core"), os.environ.get(VARIABLE, "on"))
    if reason is not None:
        _log.warning("Airloom's %s is off: %s. Airflow's own is used, which is slower.", patch, reason)
    return reason is None


def find_reason_against(tested: Collection[str], airflow: str, wish: str) -> str | None:
    """Why a patch stays off; None where it is on.

    Args:
        tested: versions of Airflow that it was tested with.
        airflow: the installed version.
        wish: what `AIRLOOM_SPEEDUPS` says.

    Errors:
        ConfigError: `wish` is neither on nor off.
    """
    if wish not in ("on", "off"):
        raise ConfigError(f"{VARIABLE}={wish!r}; it may be on (the default) or off")
    if wish == "off":
        return f"{VARIABLE}=off"
    if airflow not in tested:
        return f"it was tested with Airflow {', '.join(sorted(tested))}, and this is {airflow}"
    return None
