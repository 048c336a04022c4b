"""Feast: views of values by entity, joined point in time, and looked up online."""

from airloom.adapters.feast.feature_store import FeastFeatureStore

__all__ = ["FeastFeatureStore"]
