"""`airloom lineage MODEL@VERSION`: which data, code, parameters and run made a model version, from lineage alone.

`airloom lineage MODEL --on DAY` tells which versions were in production on a day.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from airloom.adapters.openlineage.history import ModelHistory, StageRecord
from airloom.cli.console import Console
from airloom.errors import ConfigError
from airloom.settings import load_settings

_LIBRARIES = ("python", "scikit-learn", "mlflow", "feast", "duckdb")


def run(arguments: list[str]) -> int:
    """Answer; gives the exit status.

    Errors:
        DataError: the file, the model or the version is not known.
    """
    parser = argparse.ArgumentParser(prog="airloom lineage", description=__doc__)
    parser.add_argument("model", metavar="TEAM.PIPELINE[@VERSION]", help="a version, @champion or @challenger")
    parser.add_argument("--on", type=date.fromisoformat, metavar="DAY", help="which were in production on that UTC day")
    parser.add_argument("--file", type=Path, metavar="PATH", help="the lineage file; default: the installation's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    path = given.file or load_settings().lineage_path
    if path is None:
        raise ConfigError("lineage is switched off here (AIRLOOM_LINEAGE_PATH is empty); give --file PATH")
    model, _, version = given.model.partition("@")
    history = ModelHistory(path, model)
    answer = (
        describe_day(history, given.on)
        if given.on
        else describe_version(history, history.resolve(version or "champion"))
    )
    if given.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _print(answer)
    return 0


def describe_version(history: ModelHistory, version: str) -> dict[str, Any]:
    """Everything that made a registered version, as JSON."""
    register = history.registered[version]
    stages = history.stages_behind(version)
    model = register.model_facet
    spec = _spec(stages.values())
    environment = (stages.get("train") or register).run.get("environment", {})
    return {
        "model": history.model,
        "version": version,
        "data": {
            "dataset_version": model.get("dataset_version"),
            "sources": [
                {**_pick(_facet(dataset, "dataSource"), "name", "uri"), "digest": _version(dataset)}
                for dataset in (stages["ingest"].inputs if "ingest" in stages else ())
            ],
            "query": spec.get("data", {}).get("query"),
            "train_rows": model.get("train_rows"),
            "datasets": _datasets(stages.values()),
        },
        "code": {
            "estimator": model.get("estimator"),
            "code_digest": model.get("code_digest"),
            "airloom": register.run["airloom"],
            "libraries": {name: environment[name] for name in _LIBRARIES if name in environment},
        },
        "parameters": {
            **_pick(spec.get("train", {}), "target", "task", "features", "holdout", "seed"),
            "params": model.get("params", {}),
        },
        "metrics": model.get("metrics", {}),
        "verdicts": [
            {"stage": stage, **verdict} for stage, record in stages.items() for verdict in record.run["verdicts"]
        ],
        "run": {**_run(register), "mlflow_run_id": model.get("mlflow_run_id")},
        "registered_at": register.at.isoformat(),
        "champion": [_describe_promotion(record) for record in history.promotions if record.model_version == version],
    }


def describe_day(history: ModelHistory, day: date) -> dict[str, Any]:
    """The versions in production on a day, as JSON."""
    champions = [_describe_promotion(record) for record in history.in_production(day)]
    return {"model": history.model, "day": day.isoformat(), "in_production": champions}


def _spec(records: Iterable[StageRecord]) -> Mapping[str, Any]:
    found = (record.run.get("spec", {}).get("spec") for record in records)
    return next((spec for spec in found if spec), {})


def _datasets(records: Iterable[StageRecord]) -> list[dict[str, Any]]:
    return [
        {
            "name": dataset["name"],
            "version": _version(dataset),
            "columns": [field["name"] for field in _facet(dataset, "schema").get("fields", ())],
        }
        for record in records
        for dataset in record.outputs
        if "airloom_model" not in dataset.get("facets", {})
    ]


def _run(record: StageRecord) -> dict[str, Any]:
    """The run behind a stage: Airloom's id, and Airflow's where it ran there."""
    parent = record.parent
    root = parent.get("root", {})
    return {
        "run_id": record.run["run_id"],
        "stage": record.run["stage"],
        "attempt": record.run["attempt"],
        "airflow_dag": root.get("job", {}).get("name"),
        "airflow_dag_run": root.get("run", {}).get("runId"),
        "airflow_task": parent.get("job", {}).get("name"),
        "airflow_task_run": parent.get("run", {}).get("runId"),
    }


def _describe_promotion(record: StageRecord) -> dict[str, Any]:
    facet = record.model_facet
    return {
        "version": record.model_version,
        "at": record.at.isoformat(),
        "by": record.run["stage"],
        "before": facet.get("previous") or facet.get("rolled_back"),
        "run_id": record.run["run_id"],
    }


def _facet(dataset: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    facet: Mapping[str, Any] = dataset.get("facets", {}).get(name, {})
    return facet


def _version(dataset: Mapping[str, Any]) -> str | None:
    return _facet(dataset, "version").get("datasetVersion")


def _pick(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: mapping.get(name) for name in names}


def _print(answer: Mapping[str, Any]) -> None:
    """A table of two columns; nested keys are joined by dots, what is empty is left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in answer.items():
        for key, text in _lines(name, value):
            table.add_row(key, escape(text))
    Console(soft_wrap=False).print(table)


def _lines(name: str, value: Any) -> Iterable[tuple[str, str]]:
    if value in (None, {}, [], ""):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _lines(f"{name}.{key}", below)
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        for item in value:
            yield name, "  ".join(f"{key}={_plain(inner)}" for key, inner in item.items() if inner is not None)
    else:
        yield name, _plain(value)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).strip()
