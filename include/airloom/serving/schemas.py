"""The documents of the Open Inference Protocol v2, for the OpenAPI page and the answers' shape.

Requests are read by `airloom.serving.tensors`, whose messages name the row that is wrong; these say what is expected.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from airloom.serving.tensors import DATATYPES

Datatype = Literal[DATATYPES]  # type: ignore[valid-type]


class _Document(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())


class ErrorAnswer(_Document):
    error: str
    """What was given, what is allowed; names the field."""


class ServerMetadata(_Document):
    name: str
    version: str
    extensions: list[str]


class Live(_Document):
    live: bool


class Ready(_Document):
    """Of the whole gateway: it has seen the registry once. What is away since is told, and serving goes on."""

    ready: bool
    registry: str
    """`answers`, or what is wrong."""
    prediction_log: str
    """`written`, or what is wrong."""
    models: dict[str, str]
    """Model → the version served."""


class ModelReady(_Document):
    name: str
    version: str
    ready: bool


class TensorMetadata(_Document):
    name: str
    datatype: str
    shape: list[int]
    """-1: any number of rows."""


class ModelMetadata(_Document):
    name: str
    versions: list[str]
    """The version served."""
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]
    """key, timestamp, classes, and `views`: features that are looked up where a request leaves them out."""


class ModelList(_Document):
    models: list[ModelReady]


class RepositoryEntry(_Document):
    name: str
    version: str
    state: Literal["READY"]
    reason: str


class RequestTensor(_Document):
    """One feature."""

    name: str
    shape: list[int] = Field(examples=[[2]])
    """`[rows]` or `[rows, 1]`."""
    datatype: Datatype
    data: list[Any] = Field(examples=[[719, None]])
    """One value a row; null where it is missing."""


class RequestedOutput(_Document):
    name: str


class InferRequest(_Document):
    id: str | None = None
    """Comes back, and is kept in the prediction log. Left out: one is made."""
    inputs: list[RequestTensor]
    outputs: list[RequestedOutput] | None = None
    """Left out: all."""


class ResponseTensor(_Document):
    name: str
    shape: list[int]
    datatype: Datatype
    data: list[Any]


class InferResponse(_Document):
    model_name: str
    model_version: str
    id: str
    outputs: list[ResponseTensor]
    """`prediction`: the class or value. `probability`: of the last of two classes, or (rows, classes)."""
