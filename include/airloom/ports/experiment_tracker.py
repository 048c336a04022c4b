"""The experiment tracker: what a training was given, and what came of it; its model, kept and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import JsonValue

if TYPE_CHECKING:
    import pandas as pd


class TrackedRun(Protocol):
    """A run that is open."""

    run_id: str

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float]) -> None: ...

    def log_dataset(self, rows: pd.DataFrame, name: str, digest: str, uri: str) -> None: ...

    def log_model(self, model: Any, example: pd.DataFrame, prediction: Any, metadata: Mapping[str, JsonValue]) -> str:
        """Keep a fitted estimator with its signature, input example and metadata.

        Returns:
            The model's URI.
        """
        ...


class ExperimentTracker(Protocol):
    """Errors of every method: UnavailableError where the tracker does not answer."""

    def start_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> AbstractContextManager[TrackedRun]:
        """A run that ends FINISHED, or FAILED when the block raises."""
        ...

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics to a run that has ended."""
        ...

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None: ...

    def load_model(self, uri: str) -> Any:
        """The fitted estimator.

        Errors:
            DataError: there is no such model. UserCodeError: the code of its class is not to be found here.
        """
        ...

    def run_url(self, run_id: str, experiment: str) -> str | None:
        """Where people see the run; None where the tracker has no web pages."""
        ...
