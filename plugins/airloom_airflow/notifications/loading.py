"""A notifier by its path and arguments. The callbacks call it when there is something to say."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from airflow.sdk import BaseNotifier

from airloom.errors import ConfigError


def load_notifier(path: str, args: Mapping[str, Any]) -> BaseNotifier:
    """A new notifier.

    Args:
        path: its class, dotted.
        args: its arguments; what it renders in them stays its own.

    Errors:
        ConfigError: it cannot be imported here, is no notifier, or does not take these arguments.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the notifier {path} cannot be loaded: {error}. Install what brings it where tasks run, or name another "
            "class under notify."
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ConfigError(f"{path} is no notifier; under notify, name a class made from airflow.sdk.BaseNotifier")
    try:
        return found(**deepcopy(dict(args)))
    except TypeError as error:
        raise ConfigError(f"the notifier {path} does not take these arguments: {error}") from error
