"""The experiment tracker and the model registry in memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from airloom.errors import DataError, PermanentError
from airloom.ports.model_registry import ModelVersion


@dataclass
class Run:
    """A run, open to a test's eyes."""

    run_id: str
    tags: dict[str, str]
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    status: str = "RUNNING"
    models: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.params |= params

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.metrics |= metrics

    def log_dataset(self, rows: Any, name: str, digest: str, uri: str) -> None:
        self.datasets.append(f"{name}@{digest}")

    def log_model(self, model: Any, example: Any, prediction: Any, metadata: Mapping[str, Any]) -> str:
        uri = f"memory:/{self.run_id}/{len(self.models)}"
        self.models[uri] = (copy.deepcopy(model), dict(metadata))
        return uri


class MemoryTracker:
    """`ExperimentTracker` in memory."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._ids = itertools.count(1)

    @contextmanager
    def start_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
        run = Run(f"run{next(self._ids)}", dict(tags))
        self.runs[run.run_id] = run
        try:
            yield run
        except BaseException:
            run.status = "FAILED"
            raise
        run.status = "FINISHED"

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        self._run(run_id).log_metrics(metrics)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._run(run_id).tags.update(tags)

    def load_model(self, uri: str) -> Any:
        return self.model(uri)[0]

    def run_url(self, run_id: str, experiment: str) -> str | None:
        return None

    def model(self, uri: str) -> tuple[Any, dict[str, Any]]:
        for run in self.runs.values():
            if uri in run.models:
                return run.models[uri]
        raise DataError(f"the model {uri} cannot be loaded: there is none")

    def _run(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise PermanentError(f"there is no run {run_id}")
        return self.runs[run_id]


class MemoryRegistry:
    """`ModelRegistry` in memory, over a `MemoryTracker`'s models."""

    def __init__(self, tracker: MemoryTracker) -> None:
        self._tracker = tracker
        self._versions: dict[str, list[ModelVersion]] = {}
        self._aliases: dict[tuple[str, str], str] = {}

    def names(self) -> tuple[str, ...]:
        return tuple(self._versions)

    def register(self, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        versions = self._versions.setdefault(name, [])
        for known in versions:
            if known.uri == model_uri:
                return known
        metadata = self._tracker.model(model_uri)[1]
        made = ModelVersion(name, str(len(versions) + 1), model_uri, run_id, dict(tags), metadata)
        versions.append(made)
        return made

    def find(self, name: str, alias: str) -> ModelVersion | None:
        version = self._aliases.get((name, alias))
        return None if version is None else self.require(name, version)

    def require(self, name: str, version: str) -> ModelVersion:
        for known in self._versions.get(name, []):
            if known.version == version:
                return known
        raise DataError(f"model {name} has no version {version!r}")

    def list(self, name: str) -> tuple[ModelVersion, ...]:
        return tuple(self._versions.get(name, ()))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.require(name, version)
        self._aliases[name, alias] = version

    def remove_alias(self, name: str, alias: str) -> None:
        self._aliases.pop((name, alias), None)

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        known = self.require(name, version)
        versions = self._versions[name]
        versions[versions.index(known)] = replace(known, tags={**known.tags, **tags})
