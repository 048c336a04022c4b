"""Answers a request with a model: checks its columns, fills what is missing from the feature store, asks the model.

No HTTP here, and no logging of predictions; `airloom.serving.app` does both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airloom.errors import DataError, UnavailableError
from airloom.ports.prediction_log import PREDICTION
from airloom.prediction import Answer, FeatureType, ordered_types, predict
from airloom.serving.catalogue import ServedModel
from airloom.serving.tensors import Column, InferenceRequest, RequestError

PROBABILITY = "probability"


@dataclass(frozen=True)
class Inference:
    """An answer.

    Attributes:
        outputs: tensors of the protocol.
        logged: column → values, for the prediction log: the request's, the features as used, the prediction.
    """

    outputs: list[dict[str, Any]]
    logged: dict[str, list[Any]]


def infer(model: ServedModel, request: InferenceRequest) -> Inference:
    """Answer a request.

    Errors:
        RequestError: the columns are not what the model takes, or the model refuses the values; 503 where the feature
            store is away.
    """
    import pandas as pd

    types = ordered_types(model.metadata)
    _check_columns(model, request, types)
    columns = {name: column.values for name, column in request.columns.items()}
    columns |= _fill(model, request, types)
    frame = pd.DataFrame({name: pd.Series(columns[name], dtype=_DTYPES[kind]) for name, kind in types.items()})
    try:
        answer = predict(model.estimator, frame, model.metadata)
    except (TypeError, ValueError) as error:
        raise RequestError(f"the model refuses these rows: {str(error)[:500]}", status=422) from error
    outputs = _build_outputs(answer)
    if unknown := set(request.outputs) - {output["name"] for output in outputs}:
        have = ", ".join(output["name"] for output in outputs)
        raise RequestError(f"outputs: there is no {', '.join(sorted(unknown))}; there are: {have}")
    chosen = [output for output in outputs if not request.outputs or output["name"] in request.outputs]
    return Inference(chosen, {**columns, PREDICTION: answer.prediction.tolist()})


def output_tensors(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a model answers, as its metadata tell it: name, datatype, shape."""
    classes = metadata.get("classes")
    if classes is None:
        return [{"name": PREDICTION, "datatype": "FP64", "shape": [-1]}]
    kind = _datatype({type(value) for value in classes})
    shape = [-1] if len(classes) == 2 else [-1, len(classes)]
    return [
        {"name": PREDICTION, "datatype": kind, "shape": [-1]},
        {"name": PROBABILITY, "datatype": "FP64", "shape": shape},
    ]


def _check_columns(model: ServedModel, request: InferenceRequest, types: Mapping[str, FeatureType]) -> None:
    entities = {str(view["entity"]) for view in model.metadata.get("views", {}).values()}
    beside = {*model.metadata.get("key", ()), *entities}
    if model.metadata.get("timestamp"):
        beside.add(model.metadata["timestamp"])
    for name, column in request.columns.items():
        if name not in types and name not in beside:
            also = f", and may be given {', '.join(sorted(beside))}" if beside else ""
            raise RequestError(f"input {name!r} is not known; {model.name} takes {', '.join(types)}{also}")
        if name in types and not column.empty and (column.datatype == "BYTES") != (types[name] == "text"):
            wants = "text: BYTES" if types[name] == "text" else "a number: BOOL, INT…, UINT… or FP…"
            raise RequestError(f"input {name!r} has datatype {column.datatype}; the feature is {wants}")


def _fill(model: ServedModel, request: InferenceRequest, types: Mapping[str, FeatureType]) -> dict[str, list[Any]]:
    """The features that the request lacks, looked up by the entities that it has."""
    lacking = [name for name in types if name not in request.columns]
    filled: dict[str, list[Any]] = {}
    for view, given in model.metadata.get("views", {}).items():
        wanted = [name for name in given["columns"] if name in lacking and name not in filled]
        if not wanted:
            continue
        entity = given["entity"]
        if entity not in request.columns:
            raise RequestError(
                f"input {wanted[0]!r} is missing; give it, or give {entity!r}, by which view {view!r} is looked up"
            )
        filled |= _look_up(model, view, entity, request.columns[entity], wanted)
    for name in lacking:
        if name not in filled:
            raise RequestError(f"input {name!r} is missing, and no feature view has it; give it, or nulls")
    return filled


def _look_up(model: ServedModel, view: str, entity: str, column: Column, wanted: list[str]) -> dict[str, list[Any]]:
    asked = list(dict.fromkeys(value for value in column.values if value is not None))
    if not asked:
        return {name: [None] * len(column.values) for name in wanted}
    try:
        found = model.stores.feature_store().look_up(view, asked)
    except UnavailableError as error:
        raise RequestError(f"the online feature store does not answer: {error}", status=503) from error
    except (DataError, TypeError, ValueError) as error:
        raise RequestError(f"input {entity!r}: view {view!r} cannot be looked up by it: {error}") from error
    rows = {value: row for row, value in enumerate(asked)}
    return {
        name: [None if value is None else _plain(found[name][rows[value]]) for value in column.values]
        for name in wanted
    }


def _build_outputs(answer: Answer) -> list[dict[str, Any]]:
    decisions = [_plain(value) for value in answer.decision.tolist()]
    kind = _datatype({type(value) for value in decisions if value is not None})
    outputs = [{"name": PREDICTION, "shape": [len(decisions)], "datatype": kind, "data": decisions}]
    if answer.probabilities is not None:
        binary = answer.probabilities.shape[1] == 2
        figures = answer.probabilities[:, 1] if binary else answer.probabilities
        data = [_plain(value) for value in figures.ravel().tolist()]
        outputs.append({"name": PROBABILITY, "shape": list(figures.shape), "datatype": "FP64", "data": data})
    return outputs


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is none is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _datatype(kinds: set[type]) -> str:
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


_DTYPES = {"number": "float64", "text": "object"}
