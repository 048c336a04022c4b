"""The protocol's JSON Schemas, for whoever reads or writes its documents without this package. Pure.

The copies in `schemas/` are committed, and checked to be current.
"""

from __future__ import annotations

from typing import Any

from airloom.protocol.context import StageContext, StageGroup
from airloom.protocol.result import ResultPointer, StageResult
from airloom.protocol.version import PROTOCOL_VERSION


def build_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of each versioned document, by its name."""
    return {
        model.__name__: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"https://airloom.io/schemas/protocol/v{PROTOCOL_VERSION}/{model.__name__}.json",
            **model.model_json_schema(),
        }
        for model in (StageContext, StageGroup, StageResult, ResultPointer)
    }
