"""The JSON Schema for editors: current, and of one mind with the loader."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from airloom.protocol import ResultPointer, StageContext
from airloom.protocol.schema import build_schemas
from airloom.spec.complaints import PATTERNS
from airloom.spec.schema import build_cluster_schema, build_schema

ROOT = Path(__file__).parents[4] / "dags" / "pipelines"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = build_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", ["examples/iris.yaml", "ops/flight_delay.yaml"])
def test_the_bundled_pipelines_satisfy_the_schema(validator: jsonschema.Draft202012Validator, name: str) -> None:
    document = yaml.safe_load((ROOT / name).read_text())
    assert [error.message for error in validator.iter_errors(document)] == []


def test_the_schema_knows_environments_and_a_team_left_out(validator: jsonschema.Draft202012Validator) -> None:
    document = yaml.safe_load((ROOT / "examples/iris.yaml").read_text())
    del document["metadata"]["team"]
    document["environments"] = {"prod": {"train": {"holdout": 0.3}, "evaluate": None}}
    assert validator.is_valid(document)
    document["environments"]["prod"]["train"]["holdoud"] = 1
    assert not validator.is_valid(document)


def test_every_pattern_of_the_models_has_words() -> None:
    def patterns(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
            keys = set(node["patternProperties"]) if isinstance(node.get("patternProperties"), dict) else set()
            return own | keys | {found for value in node.values() for found in patterns(value)}
        return {found for item in node for found in patterns(item)} if isinstance(node, list) else set()

    assert patterns(build_schema()) | patterns(build_cluster_schema()) == set(PATTERNS)


def test_protocol_documents_satisfy_their_schemas() -> None:
    schemas = build_schemas()
    assert set(schemas) == {"StageContext", "StageGroup", "StageResult", "ResultPointer"}
    context = StageContext(team="t", pipeline="p", stage="s", run_id="r", attempt=1, spec={}, pipeline_uri="file:///a")
    pointer = ResultPointer(result_uri="file:///a", digest="sha256:0", status="succeeded")
    for document in (context, pointer):
        schema = schemas[type(document).__name__]
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(document.model_dump(mode="json"), schema)
