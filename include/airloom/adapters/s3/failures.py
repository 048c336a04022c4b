"""What boto3 raises, as Airloom's errors: the store is away, there is no such object, or it is set up wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)

from airloom.errors import AirloomError, ConfigError, DataError, StoreAwayError

_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "TooManyRequests", "QuotaExceeded"}
"""Beside every status of 500 and more. A quota is a full disk: others may make room."""
_CREDENTIALS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or the pod's workload identity"


@contextmanager
def translated(uri: str, endpoint: str) -> Iterator[None]:
    """Raise what boto3 raises in the block as an AirloomError that names the object."""
    try:
        yield
    except ClientError as error:
        raise _build_refusal(uri, endpoint, error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigError(f"there are no credentials for {uri}: {error}. Set {_CREDENTIALS}.") from error
    except SSLError as error:
        raise ConfigError(f"{endpoint} is not trusted: {error}. Set AWS_CA_BUNDLE, or AWS_ENDPOINT_URL.") from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise StoreAwayError(f"the object store {endpoint} does not answer for {uri}: {error}") from error
    except BotoCoreError as error:
        raise ConfigError(
            f"{uri} cannot be asked for at {endpoint}: {error}. See AIRLOOM_ARTIFACTS_URI and the AWS_… variables."
        ) from error


def status_of(error: ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _build_refusal(uri: str, endpoint: str, error: ClientError) -> AirloomError:
    code, status = str(error.response.get("Error", {}).get("Code", "")), status_of(error)
    if status == 501:
        return ConfigError(
            f"{endpoint} lacks what {uri} is asked for with ({code or status}). An object store must know conditional "
            "writes (If-Match, If-None-Match): AWS, MinIO and Ceph do."
        )
    if status >= 500 or status == 429 or code in _BUSY:
        return StoreAwayError(f"the object store {endpoint} does not serve {uri} now: {code or status}")
    if code == "NoSuchBucket":
        return ConfigError(f"there is no bucket for {uri} at {endpoint}. Make it, or set AIRLOOM_ARTIFACTS_URI.")
    if status == 404:
        return DataError(f"there is no object {uri}")
    if status in (401, 403) or code in ("ExpiredToken", "InvalidToken"):
        return ConfigError(
            f"{endpoint} refuses {uri} ({code or status}). See that the credentials are right and may read, write, "
            f"list and delete there: {_CREDENTIALS}."
        )
    if status in (301, 307) or code == "AuthorizationHeaderMalformed":
        return ConfigError(f"the bucket of {uri} is in another region ({code or status}). Set AWS_REGION.")
    return ConfigError(f"{endpoint} refuses {uri}: {error}. See AIRLOOM_ARTIFACTS_URI and AWS_ENDPOINT_URL.")
