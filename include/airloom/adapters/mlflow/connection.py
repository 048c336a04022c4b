"""What tracker and registry share: the import, the client, and MLflow's exceptions in Airloom's words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from airloom.errors import ConfigError, MissingExtraError, PermanentError, UnavailableError
from airloom.telemetry import switch_off
from airloom.type_checks import leave_out_type_checks

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REQUEST_SECONDS = "30"
_REQUEST_RETRIES = "2"
_SERVERS_STORE = "mlflow-artifacts URI"
"""In MLflow's words where artifacts are a server's to give, and a client knows none."""


def require_mlflow() -> Any:
    """The mlflow module, with its usage reporting off and its patience short (Airflow retries; MLflow need not)."""
    switch_off(os.environ)
    leave_out_type_checks()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", _REQUEST_SECONDS)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _REQUEST_RETRIES)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        import mlflow
    except ImportError as error:
        raise MissingExtraError("mlflow", "mlflow") from error
    return mlflow


@cache
def connect(tracking_uri: str) -> MlflowClient:
    """One client an address and process."""
    if tracking_uri.startswith("file:"):
        raise ConfigError(
            f"AIRLOOM_TRACKING_URI is {tracking_uri!r}; MLflow 3 keeps no file stores. Give sqlite:///… or http://…"
        )
    mlflow = require_mlflow()
    with translated(tracking_uri):
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        client: MlflowClient = mlflow.MlflowClient(tracking_uri)
        return client


@contextmanager
def translated(tracking_uri: str) -> Iterator[None]:
    """MLflow's and its HTTP client's exceptions as Airloom's; that MLflow is not installed, too."""
    require_mlflow()
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (requests.RequestException, OperationalError) as error:
        raise _away(tracking_uri, error) from error
    except MlflowException as error:
        if not tracking_uri.startswith("http") and _SERVERS_STORE in str(error):
            raise ConfigError(
                f"AIRLOOM_TRACKING_URI is {tracking_uri}, and the models lie with the MLflow server that wrote them. "
                "Start the installation (`airloom up`), or set AIRLOOM_TRACKING_URI to that server's "
                "address, http://…"
            ) from error
        if _is_away(error):
            raise _away(tracking_uri, error) from error
        raise PermanentError(f"MLflow refused: {error}") from error


def _away(tracking_uri: str, error: Exception) -> UnavailableError:
    return UnavailableError(f"MLflow at {tracking_uri} does not answer (AIRLOOM_TRACKING_URI names it): {error}")


def _is_away(error: Any) -> bool:
    """Whether MLflow's exception tells of a server that is away, rather than of a request that is wrong."""
    if error.get_http_status_code() == 429 or "API request to" in str(error):
        return True
    return error.error_code in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "INTERNAL_ERROR")
