"""What a stage may ask for, one Protocol a capability. Stages see these only; adapters implement them.

Not here: vendors, formats of any one vendor, or fakes (those lie under tests/).
"""

from typing import Protocol

from airloom.ports.data_quality import DataQuality
from airloom.ports.deployment import Deployment
from airloom.ports.drift_detector import DriftDetector
from airloom.ports.experiment_tracker import ExperimentTracker
from airloom.ports.feature_store import FeatureStore
from airloom.ports.lineage_sink import LineageSink
from airloom.ports.model_registry import ModelRegistry
from airloom.ports.object_store import ObjectStore
from airloom.ports.prediction_log import PredictionLog
from airloom.ports.tables import Tables

__all__ = [
    "DataQuality",
    "Deployment",
    "DriftDetector",
    "ExperimentTracker",
    "FeatureStore",
    "LineageSink",
    "ModelRegistry",
    "ObjectStore",
    "Ports",
    "PredictionLog",
    "Tables",
]


class Ports(Protocol):
    """All that a stage may ask for. Each is made when first asked for, so a stage pays only for what it uses."""

    @property
    def object_store(self) -> ObjectStore: ...
    @property
    def tables(self) -> Tables: ...
    @property
    def data_quality(self) -> DataQuality: ...
    @property
    def feature_store(self) -> FeatureStore: ...
    @property
    def experiment_tracker(self) -> ExperimentTracker: ...
    @property
    def model_registry(self) -> ModelRegistry: ...
    @property
    def deployment(self) -> Deployment: ...
    @property
    def prediction_log(self) -> PredictionLog: ...
    @property
    def drift_detector(self) -> DriftDetector: ...
    @property
    def lineage_sink(self) -> LineageSink: ...
    def secret(self, name: str) -> str:
        """A secret's value.

        Errors:
            ConfigError: neither `AIRLOOM_SECRET_<NAME>` nor a file of that name in `AIRLOOM_SECRETS_DIR`.
        """
        ...
