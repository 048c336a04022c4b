"""MLflow: the experiment tracker and the model registry, embedded (SQLite) or a server."""

from airloom.adapters.mlflow.registry import MlflowModelRegistry
from airloom.adapters.mlflow.tracker import MlflowExperimentTracker

__all__ = ["MlflowExperimentTracker", "MlflowModelRegistry"]
