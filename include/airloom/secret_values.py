"""Which values of an environment are secrets, told by the names of their variables, and by the names of what stands in
them: keys of JSON, parameters of connection strings and URLs, passwords in URLs. Pure.

Both sides mask them in logs: a stage in all that it writes (`airloom.stages.secrets`), Airflow in the task's log. A
secret under a name that gives no hint is not found; declared ones (`AIRLOOM_SECRET_<NAME>`, and the variables that
`AIRLOOM_MASKED_VARIABLES` names) always are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

DECLARED_PREFIX = "AIRLOOM_SECRET_"
"""Of the variables that hold the secrets which a pipeline file names."""
MASKED_VARIABLES = "AIRLOOM_MASKED_VARIABLES"
"""Holds the names of the other variables whose values are secrets; whoever starts a stage sets it."""

_SECRET_NAME = re.compile(
    r"(^|_|^PG)(SECRET|PASSWORD|PASSWD|PASS|PASSPHRASE|TOKEN|CREDENTIALS?|CONNECTION_STRING|"
    r"SIGNATURE|(ACCESS|API|ACCOUNT|PRIVATE|SECRET|STORAGE|ENCRYPTION|FERNET)_?KEY(_ID)?)$|_PWD$"
)
"""`AWS_SECRET_ACCESS_KEY`, `HF_TOKEN`, `PGPASSWORD`, …; not where one lies (`…_TOKEN_FILE`)."""
_INNER_NAMES = {"PWD", "SIG", "AUTH", "AUTHORIZATION"}
"""Secrets too as names within a value: `Pwd=…` of ODBC, `sig=…` of Azure, `"auth"` of Docker."""
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")
_USERINFO = re.compile(r"[^:]+://[^:/@]*:(?!\d{1,5}[/?#])(?P<password>[^@]*)@")
"""As SQLAlchemy reads it, which takes a password with `/`, `#` or `?` as it stands; not a port and a path with `@`."""
_PAIR = re.compile(
    r"(?<![\w.-])-*(?P<name>[A-Za-z][\w.-]*(?: \w+)?) ?= ?(?:(?:Bearer|Basic|Token)(?: |%20)+)?"
    r"(?:'(?P<single>[^']+)'|\"(?P<double>[^\"]+)\"|\{(?P<braced>[^}]+)\}|(?P<bare>[^\s;&'\"]+))"
)
"""`password=…` of libpq, `AccountKey=…;` of Azure, `?sig=…&` of a URL, `api-key=…,` of OpenTelemetry."""
_PLACE = re.compile(r"/[\w./-]*")
"""What `GOOGLE_APPLICATION_CREDENTIALS` holds, and a message about it has to name."""
_SHORTEST_LINE = 16
"""Characters. Logs are masked line by line, so of a secret of several lines, such as a private key, each one is."""
_SHORTEST_DECLARED = 4
_SHORTEST_GUESSED = 6
_SHORTEST_ID = 16
"""Characters. Shorter values are not taken: masking them would blot out ordinary text. An access key's id has 16 at
least (AWS' IAM API, AccessKey); in other stores it is a user's name, such as `airloom`."""
_SHORTEST_USER = 16
"""Characters. Such a user of a URL without a password is a token: `https://<token>@host`."""
_ADDRESS = "AIRLOOM_ARTIFACTS_URI"


def find_secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values to mask: of variables named like a secret, and what is one inside other values; as they stand there,
    and as URLs have them."""
    named = environ.get(MASKED_VARIABLES, "").split()
    declared = {
        form
        for name, value in environ.items()
        if name.startswith(DECLARED_PREFIX) or name in named
        for form in (value, value.strip())  # a file's last newline came along
    }
    guessed = {secret.strip() for name, value in environ.items() for secret in _guess_secrets(name, value)}
    address = environ.get(_ADDRESS, "")  # what stands in it is no secret, and is part of every URI that a stage answers
    whole = {value for value in declared if len(value) >= _SHORTEST_DECLARED} | {
        value for value in guessed if len(value) >= _SHORTEST_GUESSED and value not in address
    }
    lines = {line.strip() for value in whole if len(value.splitlines()) > 1 for line in value.splitlines()}
    found = whole | {line for line in lines if len(line) >= _SHORTEST_LINE}
    in_urls = {form(value) for value in found for form in (unquote, lambda text: quote(text, safe=""))}
    return frozenset(found | in_urls)


def _guess_secrets(name: str, value: str) -> Iterator[str]:
    """The secrets of a variable, or of a part of one: all of it, where its name says so, and those inside."""
    if _SECRET_NAME.search(name.upper()):
        is_place = name.upper().endswith("CREDENTIALS") and _PLACE.fullmatch(value)
        is_user = name.upper().endswith("_ID") and len(value) < _SHORTEST_ID
        if not is_place and not is_user:
            yield value
    yield from _find_inside(value)


def _find_inside(text: str) -> Iterator[str]:
    if text.lstrip().startswith(("{", "[")):
        try:
            yield from _find_in_json(json.loads(text))
            return
        except (ValueError, RecursionError):  # no JSON after all
            pass
    for url in _URL.findall(text):
        yield from _find_in_url(url)
    for pair in _PAIR.finditer(text):
        name = _normalise(pair["name"])
        if name in _INNER_NAMES or _SECRET_NAME.search(name):
            value = pair["single"] or pair["double"] or pair["braced"] or pair["bare"]
            yield from (value, value.partition("#")[0], value.partition(",")[0])


def _find_in_json(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, dict | list):
                yield from _find_in_json(each)
                continue
            text, name = str(each), _normalise(key)
            yield from _guess_secrets(name, text)
            if name in _INNER_NAMES:
                yield text
    elif isinstance(value, list):
        for each in value:
            yield from _find_in_json(each)
    elif isinstance(value, str):
        yield from _find_inside(value)


def _find_in_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        if parts.password:
            yield parts.password
        elif taken := _USERINFO.match(url):
            yield taken["password"]
        elif parts.username and len(parts.username) >= _SHORTEST_USER:
            yield parts.username
    except ValueError:  # no URL after all
        return


def _normalise(name: str) -> str:
    """`accessToken`, `access-token` and `Access Token` as a variable would be called."""
    return "_".join(_WORD_START.split(name)).strip("_").upper()
