"""Great Expectations: expectations on rows, and its data docs."""

from airloom.adapters.great_expectations.data_quality import GreatExpectationsDataQuality

__all__ = ["GreatExpectationsDataQuality"]
