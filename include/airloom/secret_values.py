"""Which values of an environment are secrets, told by the names of their variables. Pure.

Both sides mask them in logs: a stage in all that it writes (`airloom.stages.secrets`), Airflow in the task's log. A
secret under a name that gives no hint is not found; declared ones (`AIRLOOM_SECRET_<NAME>`) always are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

DECLARED_PREFIX = "AIRLOOM_SECRET_"
"""Of the variables that hold the secrets which a pipeline file names."""

_SECRET_NAME = re.compile(
    r"(^|_)(SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|CREDENTIALS?|CONNECTION_STRING|"
    r"(ACCESS|API|ACCOUNT|PRIVATE|SECRET|STORAGE|ENCRYPTION)_?KEY(_ID)?)$"
)
"""`AWS_SECRET_ACCESS_KEY`, `HF_TOKEN`, `MLFLOW_TRACKING_PASSWORD`, …; not where one lies (`…_TOKEN_FILE`)."""
_SHORTEST_DECLARED = 4
_SHORTEST_GUESSED = 6
_SHORTEST_ID = 16
"""Characters. Shorter values are not taken: masking them would blot out ordinary text. An access key's id has 16 at
least (AWS' IAM API, AccessKey); in other stores it is a user's name, such as `airloom`."""
_ADDRESS = "AIRLOOM_ARTIFACTS_URI"


def find_secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values to mask: of variables named like a secret, and the passwords in other variables' URLs."""
    declared = {value for name, value in environ.items() if name.startswith(DECLARED_PREFIX)}
    guessed = {_guess_secret(name, value) for name, value in environ.items()}
    address = environ.get(_ADDRESS, "")  # what stands in it is no secret, and is part of every URI that a stage answers
    return frozenset(
        {value for value in declared if len(value) >= _SHORTEST_DECLARED}
        | {value for value in guessed if len(value) >= _SHORTEST_GUESSED and value not in address}
    )


def _guess_secret(name: str, value: str) -> str:
    """The variable's secret as it stands in its value; empty: it has none."""
    if _SECRET_NAME.search(name.upper()):
        return value if len(value) >= _SHORTEST_ID or not name.upper().endswith("_ID") else ""
    if "://" not in value or "@" not in value:
        return ""
    try:
        return urlsplit(value).password or ""
    except ValueError:  # no URL after all
        return ""
