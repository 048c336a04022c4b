"""Keeps secrets that a stage is given out of its task's log, on Airflow's side too. Operators call it.

A stage masks what it writes itself (`airloom.stages.secrets`); what native code or a dying process writes passes that
by, and is masked here, by Airflow's own masker.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk.log import mask_secret

from airloom.secret_values import find_secret_values


def mask_secrets(environ: Mapping[str, str]) -> None:
    """Mask the secrets among a stage's variables in this task's log; Airflow leaves values under five characters."""
    if values := find_secret_values(environ):
        mask_secret([*sorted(values)])
