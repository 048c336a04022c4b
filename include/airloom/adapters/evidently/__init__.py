"""Evidently: drift of columns, and its report page."""

from airloom.adapters.evidently.drift_detector import EvidentlyDriftDetector

__all__ = ["EvidentlyDriftDetector"]
