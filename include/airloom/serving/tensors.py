"""Reads an inference request's tensors into columns, and says what is wrong with them. Pure; no model is known here.

One input is one column. What cannot be read is a `RequestError` that names the field; it is never a fault of ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_ID_CHARACTERS = 200
_INTEGERS = {f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)}
_FLOATS = {"FP16", "FP32", "FP64"}
DATATYPES = ("BOOL", *sorted(_INTEGERS), *sorted(_FLOATS), "BYTES")


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        message: names the field, what it is and what it may be.
        status: HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Column:
    """One input: its datatype, and a value (or None) a row."""

    datatype: str
    values: list[Any]

    @property
    def empty(self) -> bool:
        """Whether every value is missing; its datatype then says nothing."""
        return all(value is None for value in self.values)


@dataclass(frozen=True)
class InferenceRequest:
    """A request, read.

    Attributes:
        id: as given; None if left out.
        columns: name → column, all of `rows` values.
        rows: at least one.
        outputs: names of the outputs that are asked for; empty: all.
    """

    id: str | None
    columns: Mapping[str, Column]
    rows: int
    outputs: tuple[str, ...]


def read_request(body: bytes) -> InferenceRequest:
    """Read a request's body.

    Errors:
        RequestError: it is no JSON, or no request of the protocol; the field is named.
    """
    document = _parse(body)
    if not isinstance(document, dict):
        raise RequestError(f"the body is a JSON {_kind(document)}; give an object with `inputs`")
    identity = document.get("id")
    if identity is not None and not (isinstance(identity, str) and len(identity) <= _MOST_ID_CHARACTERS):
        raise RequestError(f"id: give text of at most {_MOST_ID_CHARACTERS} characters, not {_show(identity)}")
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RequestError(f"inputs: give a list of tensors, one a feature, not {_show(inputs)}")
    columns: dict[str, Column] = {}
    for position, tensor in enumerate(inputs):
        name, column = _read_tensor(position, tensor)
        if name in columns:
            raise RequestError(f"inputs[{position}]: there is a second tensor {name!r}")
        columns[name] = column
    counts = {name: len(column.values) for name, column in columns.items()}
    first, rows = next(iter(counts.items()))
    for name, count in counts.items():
        if count != rows:
            raise RequestError(f"input {name!r} has {count} rows, and {first!r} has {rows}; give as many of each")
    return InferenceRequest(identity, columns, rows, _read_outputs(document.get("outputs")))


def _parse(body: bytes) -> Any:
    def refuse(literal: str) -> None:
        raise RequestError(f"the body holds {literal}, which is no JSON; give null where a value is missing")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError:
        raise RequestError("the body is nested too deep") from None
    except ValueError as error:  # bad JSON, bad UTF-8, or a number of thousands of digits
        raise RequestError(f"the body is no JSON: {str(error)[:200]}") from error


def _read_tensor(position: int, tensor: Any) -> tuple[str, Column]:
    if not isinstance(tensor, dict):
        raise RequestError(f"inputs[{position}]: give an object with name, shape, datatype, data; not {_show(tensor)}")
    name = tensor.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError(f"inputs[{position}].name: give the feature's name, not {_show(name)}")
    datatype = tensor.get("datatype")
    if datatype not in DATATYPES:
        raise RequestError(f"input {name!r}: datatype {_show(datatype)} is none of {', '.join(DATATYPES)}")
    data = tensor.get("data")
    if not isinstance(data, list):
        raise RequestError(f"input {name!r}: data must be a list of values, not {_show(data)}")
    rows = _read_shape(name, tensor.get("shape"))
    if len(data) != rows:
        raise RequestError(f"input {name!r}: its shape tells of {rows} rows, and data has {len(data)}")
    if all(isinstance(value, list) and len(value) == 1 for value in data):
        data = [value[0] for value in data]
    for row, value in enumerate(data):
        if value is not None and (reason := _mismatch(datatype, value)):
            raise RequestError(f"input {name!r}, row {row}: {_show(value)} {reason}")
    return name, Column(datatype, data)


def _read_shape(name: str, shape: Any) -> int:
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise RequestError(f"input {name!r}: shape must be [rows] or [rows, 1], not {_show(shape)}")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise RequestError(f"input {name!r}: shape must be [rows] or [rows, 1], one value a row; not {_show(shape)}")
    if shape[0] < 1:
        raise RequestError(f"input {name!r}: there are no rows (shape {_show(shape)}); give one at least")
    return int(shape[0])


def _mismatch(datatype: str, value: Any) -> str | None:
    """Why a value is not of the datatype; None where it is."""
    if datatype == "BYTES":
        return None if isinstance(value, str) else "is no text, which BYTES means"
    if datatype == "BOOL":
        return None if isinstance(value, bool) else "is neither true nor false, which BOOL means"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is no number, which {datatype} means"
    if datatype in _FLOATS:
        try:
            finite = math.isfinite(float(value))
        except OverflowError:
            finite = False
        return None if finite else "is not finite; give null where a value is missing"
    if not isinstance(value, int):
        return f"is no whole number, which {datatype} means"
    bits = int(datatype.lstrip("UINT"))
    low, high = (0, 2**bits) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return None if low <= value < high else f"does not fit into {datatype}"


def _read_outputs(outputs: Any) -> tuple[str, ...]:
    if outputs is None:
        return ()
    if not isinstance(outputs, list):
        raise RequestError(f"outputs: give a list of objects with a name, not {_show(outputs)}")
    names: list[str] = []
    for position, output in enumerate(outputs):
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError(f"outputs[{position}]: give an object with a name, not {_show(output)}")
        names.append(output["name"])
    return tuple(names)


def _kind(value: Any) -> str:
    names = {list: "list", str: "text", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "object")


def _show(value: Any) -> str:
    """A value in a message, short."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = json.dumps(value) if value is None or isinstance(value, bool | int | float | str) else f"a {_kind(value)}"
    if isinstance(value, list) and len(value) <= 4 and all(type(item) is int for item in value):
        text = str(value) if all(abs(item) < 10**30 for item in value) else text
    return text if len(text) <= 80 else f"{text[:77]}…"
