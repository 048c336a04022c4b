"""What obstore raises, as Airloom's errors: the store is away, there is no such object, or it is set up wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    BaseError,
    GenericError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)

from airloom.errors import AirloomError, ConfigError, DataError, StoreAwayError

_NO_BUCKET = ("ContainerNotFound", "NoSuchBucket", "bucket does not exist", "ContainerBeingDeleted")
_REFUSED = re.compile(r"status code: 4(?!08|29)\d\d|must be specified|MissingKey|Unable to decode|Invalid")
"""obstore puts these among its generic errors."""


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise what obstore raises in the block as an AirloomError that names the object."""
    try:
        yield
    except FileNotFoundError as error:
        raise _build_absence(uri, error) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise ConfigError(
            f"the object store refuses {uri}: {_shorten(error)}. See that the credentials are right and may read, "
            "write, list and delete there: GOOGLE_… or AZURE_STORAGE_…, or the pod's workload identity."
        ) from error
    except (InvalidPathError, NotSupportedError, UnknownConfigurationKeyError, NotImplementedError) as error:
        raise ConfigError(f"{uri} cannot be asked for: {_shorten(error)}. See AIRLOOM_ARTIFACTS_URI.") from error
    except GenericError as error:
        if any(words in str(error) for words in _NO_BUCKET):
            raise _build_absence(uri, error) from error
        if _REFUSED.search(str(error)):
            raise ConfigError(
                f"{uri} cannot be asked for: {_shorten(error)}. See AIRLOOM_ARTIFACTS_URI, and the GOOGLE_… or "
                "AZURE_STORAGE_… variables."
            ) from error
        raise StoreAwayError(f"the object store does not answer for {uri}: {_shorten(error)}") from error
    except BaseError as error:
        raise StoreAwayError(f"the object store does not answer for {uri}: {_shorten(error)}") from error


def _build_absence(uri: str, error: Exception) -> AirloomError:
    if any(words in str(error) for words in _NO_BUCKET):
        return ConfigError(f"there is no bucket or container for {uri}. Make it, or set AIRLOOM_ARTIFACTS_URI.")
    return DataError(f"there is no object {uri}")


def _shorten(error: Exception) -> str:
    return " ".join(str(error).partition("Debug source:")[0].split())[:500]
