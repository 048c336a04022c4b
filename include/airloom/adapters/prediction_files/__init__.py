"""The prediction log as Parquet files in the object store, one folder a model version."""

from airloom.adapters.prediction_files.prediction_log import PredictionFilesLog

__all__ = ["PredictionFilesLog"]
