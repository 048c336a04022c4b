"""`ModelRegistry` on MLflow's model registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from airloom.adapters.mlflow.connection import connect, require_mlflow, translated
from airloom.errors import DataError
from airloom.ports.model_registry import ModelVersion

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

_SOURCE_TAG = "airloom.model_uri"


class MlflowModelRegistry:
    """See `airloom.ports.model_registry`.

    Args:
        tracking_uri: `http://…` or `sqlite:///…`; the registry is where the tracker is.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._metadata: dict[str, Mapping[str, JsonValue]] = {}

    def names(self) -> tuple[str, ...]:
        with translated(self._uri):
            client = connect(self._uri)
            found: list[str] = []
            token: str | None = None
            while True:
                page = client.search_registered_models(max_results=1000, page_token=token)
                found += [model.name for model in page]
                token = page.token
                if not token:
                    return tuple(found)

    def register(self, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        for known in self.list(name):
            if known.tags.get(_SOURCE_TAG) == model_uri:
                return known
        with translated(self._uri):
            client = connect(self._uri)
            try:
                client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = client.create_model_version(
                name, source=model_uri, run_id=run_id, tags={**tags, _SOURCE_TAG: model_uri},
                model_id=model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None,
            )  # fmt: skip
            return self._version(made)

    def find(self, name: str, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        with translated(self._uri):
            try:
                return self._version(connect(self._uri).get_model_version_by_alias(name, alias))
            except MlflowException as error:
                if _is_missing(error):
                    return None
                raise

    def require(self, name: str, version: str) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        with translated(self._uri):
            try:
                return self._version(connect(self._uri).get_model_version(name, version))
            except MlflowException as error:
                if not _is_missing(error):
                    raise
                known = ", ".join(known.version for known in self.list(name)) or "none"
                raise DataError(f"model {name} has no version {version!r}; there are: {known}") from error

    def list(self, name: str) -> tuple[ModelVersion, ...]:
        with translated(self._uri):
            client = connect(self._uri)
            found: list[Any] = []
            token: str | None = None
            while True:
                page = client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token)
                found += page
                token = page.token
                if not token:
                    break
        found.sort(key=lambda known: int(known.version))
        return tuple(self._version(known, with_metadata=False) for known in found)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        with translated(self._uri):
            connect(self._uri).set_registered_model_alias(name, alias, version)

    def remove_alias(self, name: str, alias: str) -> None:
        from mlflow.exceptions import MlflowException

        with translated(self._uri):
            try:
                connect(self._uri).delete_registered_model_alias(name, alias)
            except MlflowException as error:
                if not _is_missing(error):
                    raise

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        with translated(self._uri):
            for key, text in tags.items():
                connect(self._uri).set_model_version_tag(name, version, key, text)

    def _version(self, known: Any, *, with_metadata: bool = True) -> ModelVersion:
        uri = f"models:/{known.name}/{known.version}"
        if with_metadata and uri not in self._metadata:
            info = require_mlflow().models.get_model_info(uri)
            self._metadata[uri] = (info.metadata or {}).get("airloom", {})
        return ModelVersion(
            name=known.name,
            version=str(known.version),
            uri=uri,
            run_id=known.run_id,
            tags=dict(known.tags),
            metadata=self._metadata.get(uri, {}),
        )


def _is_missing(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such model, version or alias (SQL stores call a missing alias invalid)."""
    return error.error_code == "RESOURCE_DOES_NOT_EXIST" or (
        error.error_code == "INVALID_PARAMETER_VALUE" and "alias" in str(error)
    )
