"""Which values of an environment are secrets, told by the names of their variables. Pure.

Both sides mask them in logs: a stage in all that it writes (`airloom.stages.secrets`), Airflow in the task's log. A
secret under a name that gives no hint is not found; declared ones (`AIRLOOM_SECRET_<NAME>`, and the variables that
`AIRLOOM_MASKED_VARIABLES` names) always are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

DECLARED_PREFIX = "AIRLOOM_SECRET_"
"""Of the variables that hold the secrets which a pipeline file names."""
MASKED_VARIABLES = "AIRLOOM_MASKED_VARIABLES"
"""Holds the names of the other variables whose values are secrets; whoever starts a stage sets it."""

_SECRET_NAME = re.compile(
    r"(^|_|^PG)(SECRET|PASSWORD|PASSWD|PASS|PASSPHRASE|TOKEN|CREDENTIALS?|CONNECTION_STRING|"
    r"(ACCESS|API|ACCOUNT|PRIVATE|SECRET|STORAGE|ENCRYPTION|FERNET)_?KEY(_ID)?)$|_PWD$"
)
"""`AWS_SECRET_ACCESS_KEY`, `HF_TOKEN`, `PGPASSWORD`, …; not where one lies (`…_TOKEN_FILE`)."""
_PLACE = re.compile(r"/[\w./-]*")
"""What `GOOGLE_APPLICATION_CREDENTIALS` holds, and a message about it has to name."""
_SHORTEST_LINE = 16
"""Characters. Logs are masked line by line, so of a secret of several lines, such as a private key, each one is."""
_SHORTEST_DECLARED = 4
_SHORTEST_GUESSED = 6
_SHORTEST_ID = 16
"""Characters. Shorter values are not taken: masking them would blot out ordinary text. An access key's id has 16 at
least (AWS' IAM API, AccessKey); in other stores it is a user's name, such as `airloom`."""
_ADDRESS = "AIRLOOM_ARTIFACTS_URI"


def find_secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values to mask: of variables named like a secret, and the passwords in other variables' URLs."""
    named = environ.get(MASKED_VARIABLES, "").split()
    declared = {value for name, value in environ.items() if name.startswith(DECLARED_PREFIX) or name in named}
    guessed = {_guess_secret(name, value) for name, value in environ.items()}
    address = environ.get(_ADDRESS, "")  # what stands in it is no secret, and is part of every URI that a stage answers
    whole = {value for value in declared if len(value) >= _SHORTEST_DECLARED} | {
        value for value in guessed if len(value) >= _SHORTEST_GUESSED and value not in address
    }
    lines = {line.strip() for value in whole if len(value.splitlines()) > 1 for line in value.splitlines()}
    return frozenset(whole | {line for line in lines if len(line) >= _SHORTEST_LINE})


def _guess_secret(name: str, value: str) -> str:
    """The variable's secret as it stands in its value; empty: it has none."""
    if _SECRET_NAME.search(name.upper()):
        is_place = name.upper().endswith("CREDENTIALS") and _PLACE.fullmatch(value)
        is_user = name.upper().endswith("_ID") and len(value) < _SHORTEST_ID
        return "" if is_place or is_user else value.strip()
    if "://" not in value or "@" not in value:
        return ""
    try:
        return urlsplit(value).password or ""
    except ValueError:  # no URL after all
        return ""
