"""Airflow's `core.hostname_callable`: the parts run on one machine, and each goes by a name of its own."""

from __future__ import annotations

import os


def own_name() -> str:
    """The part's name."""
    return os.environ["PART_NAME"]
