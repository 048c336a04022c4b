"""A stage's secrets on Airflow's side: the values that Airflow has, and what is kept out of the task's log.

Operators call it where they start a stage, its trigger where it writes the stage's log, and the doctor beforehand.
Values come by Airflow's public interface, so from whichever secrets backend; how they get into a pod is
`operators.pod_client`'s. A stage masks what it writes itself (`airloom.stages.secrets`); what native code or a dying
process writes passes that by, and is masked here, by Airflow's own masker.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import BaseHook, Variable
from airflow.sdk.log import mask_secret

from airloom.errors import ConfigError, UnavailableError
from airloom.secret_values import find_secret_values
from airloom.spec.team import AirflowSecret, build_masked_variables

_MASKED_SECONDS = 300.0
"""How long a secret that was masked in this process is not read again to be masked: a triggerer writes the logs of
thousands of pods with the same one. What Airflow changes meanwhile is masked by the stage alone."""
_masked: dict[AirflowSecret, float] = {}

log = logging.getLogger(__name__)


def load_secrets(secrets: Iterable[AirflowSecret]) -> dict[str, str]:
    """Variable → value; masked in this task's log from now on.

    Errors:
        UnavailableError: Airflow gives none. It does not tell a name that is nowhere from a backend that is away.
        ConfigError: a connection lacks the field that is asked for.
    """
    wanted = tuple(secrets)
    values = {secret.name: _load(secret) for secret in wanted}
    if values:
        mask_secrets({**values, **build_masked_variables(wanted)})
        _masked.update(dict.fromkeys(wanted, time.monotonic()))
    return values


def keep_masked(secrets: Iterable[AirflowSecret]) -> None:
    """Mask secrets in the log of a stage that somebody else may have started; which cannot be read is logged."""
    since = time.monotonic() - _MASKED_SECONDS
    for secret in secrets:
        if _masked.get(secret, since) <= since:
            try:
                load_secrets([secret])
            except (ConfigError, UnavailableError) as error:
                log.warning("%s is masked in the log by the stage alone: %s", secret.name, error)


def mask_secrets(environ: Mapping[str, str]) -> None:
    """Mask the secrets among a stage's variables in this task's log; Airflow leaves values under five characters."""
    if values := find_secret_values(environ):
        mask_secret([*sorted(values)])


def _load(secret: AirflowSecret) -> str:
    try:
        if secret.variable is not None:
            return str(Variable.get(secret.variable))
        connection: Any = BaseHook.get_connection(str(secret.conn_id))
    except Exception as error:  # of many classes, by Airflow's version and by where it looks
        raise UnavailableError(
            f"{secret.source}, for the variable {secret.name}, cannot be had: {error}. Add it to Airflow or its "
            "secrets backend, see that the backend answers, or mend `secrets` of the cluster file."
        ) from error
    value = _read_field(connection, secret.field)
    if value in (None, ""):
        raise ConfigError(
            f"{secret.source}, for the variable {secret.name}, is empty; mend the connection, or `field` in `secrets` "
            "of the cluster file"
        )
    return value if isinstance(value, str) else json.dumps(value)


def _read_field(connection: Any, field: str) -> Any:
    if field == "uri":
        return connection.get_uri()
    name, _, key = field.partition(".")
    return connection.extra_dejson.get(key) if key else getattr(connection, name)
