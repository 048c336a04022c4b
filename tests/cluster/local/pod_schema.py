"""`python -m tests.cluster.local.pod_schema`: makes `airloom.spec`'s pod.schema.json from Kubernetes' OpenAPI.

The OpenAPI document lies in the Go module that the test cluster is built from. Made strict: OpenAPI says nothing of
unknown fields, and a typo in a pod template must not pass.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.cluster.local.programs import run

SCHEMA = Path(__file__).parents[3] / "include" / "airloom" / "spec" / "pod.schema.json"
_MODULE = Path(__file__).parents[1] / "kubernetes"
_POD = "io.k8s.api.core.v1.Pod"
_EITHER: dict[str, Any] = {"type": ["string", "integer"]}


def build_pod_schema() -> str:
    """The schema as the file has it: draft 2020-12 JSON, one line a definition."""
    folder = Path(run("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes", cwd=_MODULE).strip())
    known: dict[str, Any] = json.loads((folder / "api" / "openapi-spec" / "swagger.json").read_text())["definitions"]
    found: dict[str, Any] = {}
    wanted = [_POD]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = known[name]
            wanted += re.findall(r'"#/definitions/([^"]+)"', json.dumps(known[name]))
    definitions = {_short(name): _tighten(found[name]) for name in sorted(found)}
    definitions["Quantity"] = {"type": ["string", "number"]}
    definitions["IntOrString"] = _EITHER
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(definitions[name], sort_keys=True)}" for name in definitions)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return f'{{"$schema": "{dialect}", "$ref": "#/$defs/Pod", "$defs": {{\n{lines}\n}}}}\n'


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _tighten(part: Any) -> Any:
    if isinstance(part, list):
        return [_tighten(each) for each in part]
    if not isinstance(part, dict):
        return part
    kept = {key: value for key, value in part.items() if key not in ("description", "default") and key[:2] != "x-"}
    kept.pop("format", None)
    if "$ref" in kept:
        return {"$ref": f"#/$defs/{_short(kept['$ref'])}"}
    if isinstance(properties := kept.get("properties"), dict):
        return {**kept, "properties": {name: _tighten(each) for name, each in properties.items()},
                "additionalProperties": False}  # fmt: skip
    return {key: _tighten(value) for key, value in kept.items()}


if __name__ == "__main__":
    SCHEMA.write_text(build_pod_schema())
