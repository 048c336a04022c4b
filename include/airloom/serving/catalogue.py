"""The models that the gateway serves: the registry's champions, loaded off the requests' path and swapped in whole.

A background thread asks the registry again and again. A request takes its `ServedModel` once and keeps it to its
end, so a swap never touches it. A registry that is away changes nothing: what is loaded goes on being served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airloom.errors import AirloomError, DataError, UnavailableError
from airloom.ports import ExperimentTracker, FeatureStore, ModelRegistry, PredictionLog
from airloom.ports.model_registry import ModelVersion
from airloom.prediction import predict
from airloom.serving.metrics import GatewayMetrics
from airloom.stages.champion import CHAMPION

_RETRY_SECONDS = 30.0
"""A version that cannot be loaded is tried again after this long, or when somebody asks for it."""

log = logging.getLogger("airloom.serving")


@dataclass(frozen=True)
class PipelineStores:
    """What belongs to a model's pipeline."""

    feature_store: Callable[[], FeatureStore]
    prediction_log: PredictionLog


@dataclass(frozen=True)
class ServedModel:
    """A champion, ready to be asked.

    Attributes:
        metadata: the model's `airloom` metadata; see `airloom.stages.train`.
        estimator: fitted.
    """

    name: str
    version: str
    metadata: Mapping[str, Any]
    estimator: Any
    stores: PipelineStores


class ModelCatalogue:
    """All that is served, by name.

    Args:
        stores: gives the stores of a pipeline by (team, pipeline).
        poll_seconds: between two looks at the registry.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        tracker: ExperimentTracker,
        stores: Callable[[str, str], PipelineStores],
        metrics: GatewayMetrics,
        poll_seconds: float,
    ) -> None:
        self._registry = registry
        self._tracker = tracker
        self._stores = stores
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._models: Mapping[str, ServedModel] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._loading = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="registry", daemon=True)
        self.known = False
        """Whether the registry has answered once, so that all champions of then are served."""
        self.trouble: str | None = "the model registry was not asked yet"
        """What is wrong with the registry now; None where it answers."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def find(self, name: str) -> ServedModel | None:
        return self._models.get(name)

    def list(self) -> tuple[ServedModel, ...]:
        return tuple(self._models.values())

    def load(self, name: str) -> ServedModel | None:
        """Serve the registry's champion of this model now; None where there is none.

        Errors:
            UnavailableError: the registry or the model store does not answer. PermanentError: it cannot be loaded.
        """
        with self._loading:
            champion = self._registry.find(name, CHAMPION)
            if champion is None:
                self._drop(name)
                return None
            served = self._models.get(name)
            return served if served and served.version == champion.version else self._swap(champion)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
                self._report(None)
                self.known = True
            except UnavailableError as error:
                self._report(str(error))
            except Exception as error:
                self._report(f"{type(error).__name__}: {error}")
            self._stop.wait(self._poll_seconds)

    def _look(self) -> None:
        names = self._registry.names()
        for gone in self._models.keys() - set(names):
            self._drop(gone)
        for name in names:
            champion = self._registry.find(name, CHAMPION)
            if champion is None:
                self._drop(name)
            elif self._wants(champion):
                self._try_load(champion)

    def _wants(self, champion: ModelVersion) -> bool:
        served = self._models.get(champion.name)
        if served is not None and served.version == champion.version:
            return False
        version, since = self._failed.get(champion.name, ("", 0.0))
        return version != champion.version or time.monotonic() - since > _RETRY_SECONDS

    def _try_load(self, champion: ModelVersion) -> None:
        try:
            self.load(champion.name)
        except UnavailableError:
            raise
        except Exception as error:
            self._failed[champion.name] = (champion.version, time.monotonic())
            served = self._models.get(champion.name)
            instead = f"version {served.version} goes on being served" if served else "the model is not served"
            log.error("%s version %s cannot be loaded: %s; %s", champion.name, champion.version, error, instead)

    def _swap(self, champion: ModelVersion) -> ServedModel:
        clock = time.perf_counter()
        try:
            made = self._open(champion)
        except Exception:
            self._metrics.failed_reloads.labels(champion.name).inc()
            raise
        if before := self._models.get(champion.name):
            self._metrics.served.remove(before.name, before.version)
        self._models = {**self._models, champion.name: made}
        self._failed.pop(champion.name, None)
        self._metrics.reloads.labels(made.name).inc()
        self._metrics.served.labels(made.name, made.version).set(1)
        log.info("serving %s version %s, loaded in %.2f s", made.name, made.version, time.perf_counter() - clock)
        return made

    def _open(self, champion: ModelVersion) -> ServedModel:
        metadata = champion.metadata
        missing = [key for key in ("team", "pipeline", "features", "types") if not metadata.get(key)]
        if missing:
            raise DataError(
                f"its metadata lacks airloom's {', '.join(missing)}: it was not logged by an Airloom pipeline; "
                "train it with one, or remove its alias `champion`"
            )
        stores = self._stores(str(metadata["team"]), str(metadata["pipeline"]))
        estimator = self._tracker.load_model(champion.uri)
        _warm(estimator, metadata)
        return ServedModel(champion.name, champion.version, metadata, estimator, stores)

    def _drop(self, name: str) -> None:
        with self._loading:
            served = self._models.get(name)
            if served is not None:
                self._models = {key: model for key, model in self._models.items() if key != name}
                self._metrics.served.remove(name, served.version)
                log.info("%s has no champion any more; it is not served", name)

    def _report(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            if trouble is None:
                log.info("the model registry answers")
            else:
                log.warning("the model registry is away, what is loaded is served on: %s", trouble)
        self.trouble = trouble
        self._metrics.registry_up.set(trouble is None)


def _warm(estimator: Any, metadata: Mapping[str, Any]) -> None:
    """Ask for a row of nothing, so that no request pays for the first call; a model may refuse such a row."""
    import pandas as pd

    try:
        predict(estimator, pd.DataFrame({name: [None] for name in metadata["types"]}), metadata)
    except AirloomError:
        raise
    except Exception as error:
        log.debug("the model refuses a row of missing values: %s", error)
