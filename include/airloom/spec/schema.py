"""The JSON Schemas of the pipeline file and the cluster file, for editors: generated from the models. Pure.

`airloom schema` prints them; the copies beside this module are committed, and checked to be current.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from airloom.spec.cluster import ClusterFile
from airloom.spec.pipeline import Pipeline

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PIPELINE_SCHEMA_ID = "https://airloom.io/schemas/v1/pipeline.schema.json"
CLUSTER_SCHEMA_ID = "https://airloom.io/schemas/v1/cluster.schema.json"


def build_schema() -> dict[str, Any]:
    """JSON Schema of a pipeline file as it is written: before defaults and environments are merged.

    `metadata.team` may be left out (the folder's name is meant). A part of a file that defaults will complete is told
    as incomplete by an editor; `airloom validate` knows the defaults.
    """
    schema = Pipeline.model_json_schema()
    parts = schema["$defs"]
    parts["Metadata"]["required"].remove("team")
    environments = {
        "type": "object",
        "description": "Overlays by name, each a partial spec; AIRLOOM_ENVIRONMENT chooses one.",
        "propertyNames": {"type": "string"},
        "additionalProperties": {"$ref": "#/$defs/Overlay"},
    }
    schema["properties"]["environments"] = environments
    parts["Overlay"] = _build_overlay(parts)
    return {
        "$schema": DIALECT,
        "$id": PIPELINE_SCHEMA_ID,
        **schema,
        "title": "Airloom pipeline",
        "description": "A model's whole life: one pipeline file.",
    }


def build_cluster_schema() -> dict[str, Any]:
    """JSON Schema of a cluster file."""
    return {
        "$schema": DIALECT,
        "$id": CLUSTER_SCHEMA_ID,
        **ClusterFile.model_json_schema(),
        "title": "Airloom cluster",
        "description": "Where an installation's stages run as pods.",
    }


def _build_overlay(parts: dict[str, Any]) -> dict[str, Any]:
    """The spec with nothing required and null allowed, in its sections too."""
    overlay = _loosen(parts["Spec"])
    for name, field in overlay["properties"].items():
        section = next((option for option in field.get("anyOf", [field]) if "$ref" in option), None)
        if section is not None:
            loose = _loosen(parts[section["$ref"].rpartition("/")[2]])
            overlay["properties"][name] = {"anyOf": [loose, {"type": "null"}]}
    overlay["title"] = "Overlay"
    overlay["description"] = "A partial spec. Mappings merge, everything else replaces, null takes away."
    return overlay


def _loosen(section: dict[str, Any]) -> dict[str, Any]:
    loose = deepcopy(section)
    loose.pop("required", None)
    return loose
