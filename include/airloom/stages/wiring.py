"""Chooses the adapters: the one place where ports meet vendors. Each is imported when it is first asked for."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airloom.errors import ConfigError
from airloom.stages.secrets import load_secret

if TYPE_CHECKING:
    from airloom.ports import (
        DataQuality,
        Deployment,
        DriftDetector,
        ExperimentTracker,
        FeatureStore,
        LineageSink,
        ModelRegistry,
        ObjectStore,
        PredictionLog,
        Tables,
    )
    from airloom.settings import Settings


class EmbeddedPorts:
    """`airloom.ports.Ports` of the one-machine installation; with a bucket for its objects, of more machines.

    Args:
        settings: where things are kept.
        pipeline_uri: prefix of the pipeline's objects; the feature store and prediction log lie below it.
        object_store: one that other pipelines' ports have too; left out: one of its own.
    """

    def __init__(self, settings: Settings, pipeline_uri: str, object_store: ObjectStore | None = None) -> None:
        self._settings = settings
        self._pipeline_uri = pipeline_uri
        self._shared_object_store = object_store

    @cached_property
    def object_store(self) -> ObjectStore:
        return self._shared_object_store or open_object_store(self._pipeline_uri)

    @cached_property
    def tables(self) -> Tables:
        from airloom.adapters.duckdb import DuckdbTables

        return DuckdbTables(self._settings.data_root, self.secret)

    @cached_property
    def data_quality(self) -> DataQuality:
        from airloom.adapters.great_expectations import GreatExpectationsDataQuality

        return GreatExpectationsDataQuality()

    @cached_property
    def feature_store(self) -> FeatureStore:
        from airloom.adapters.feast import FeastFeatureStore

        return FeastFeatureStore(self.object_store, f"{self._pipeline_uri}/feature_store")

    @cached_property
    def experiment_tracker(self) -> ExperimentTracker:
        from airloom.adapters.mlflow import MlflowExperimentTracker

        return MlflowExperimentTracker(self._settings.tracking_uri, self._settings.data_root)

    @cached_property
    def model_registry(self) -> ModelRegistry:
        from airloom.adapters.mlflow import MlflowModelRegistry

        return MlflowModelRegistry(self._settings.tracking_uri)

    @cached_property
    def deployment(self) -> Deployment:
        from airloom.adapters.gateway import GatewayDeployment

        return GatewayDeployment(self._settings.gateway_url)

    @cached_property
    def prediction_log(self) -> PredictionLog:
        from airloom.adapters.prediction_files import PredictionFilesLog

        return PredictionFilesLog(self.object_store, self._pipeline_uri)

    @cached_property
    def drift_detector(self) -> DriftDetector:
        from airloom.adapters.evidently import EvidentlyDriftDetector

        return EvidentlyDriftDetector()

    @cached_property
    def lineage_sink(self) -> LineageSink:
        from airloom.adapters.openlineage import ClientLineageSink, FileLineageSink

        return ClientLineageSink() if self._settings.lineage_receiver else FileLineageSink(self._settings.lineage_path)

    def secret(self, name: str) -> str:
        return load_secret(name, os.environ)


def open_object_store(uri: str) -> ObjectStore:
    """The store that has objects of this URI's scheme.

    Errors:
        ConfigError: none has.
    """
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        from airloom.adapters.local_folder import LocalFolderObjectStore

        return LocalFolderObjectStore()
    if scheme == "s3":
        from airloom.adapters.s3 import S3ObjectStore

        return S3ObjectStore()
    if scheme in ("gs", "az"):
        from airloom.adapters.obstore import CloudObjectStore

        return CloudObjectStore()
    raise ConfigError(
        f"no object store has {uri!r}; set AIRLOOM_ARTIFACTS_URI to file:///…, s3://bucket/…, gs://bucket/… or "
        "az://container/…"
    )
