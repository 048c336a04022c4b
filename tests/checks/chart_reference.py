"""helm/airloom's values as a table for the documents, and as the JSON Schema by which Helm refuses a mistyped key.

Both are made of values.yaml alone: a comment `# --` above a key says what it is, and a comment `# @schema` what JSON
Schema says of it beyond the type of its default. `python -m tests.checks.chart_reference` says whether the schema is
current, `--write` makes it anew; `docs_true` does so for the table.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "airloom"
_SPEC = ROOT / "include" / "airloom" / "spec"
_OF_CHART: dict[str, dict[str, Any]] = {
    "createNamespace": {"type": "boolean", "description": "False: the namespace is there already."},
    "podSecurity": {
        "enum": ["restricted", "baseline", "privileged"],
        "description": "What pods the namespace takes. Left out: restricted.",
    },
    "serviceAccountAnnotations": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Of its stages' service account, for workload identity.",
    },
}
"""What a team of `teams` has beside the keys of the cluster file's."""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml.

    Attributes:
        path: such as `images.tag`.
        schema: what `# @schema` says, with the type of the default.
    """

    path: str
    default: Any
    about: str
    schema: dict[str, Any]


def read_values(text: str) -> Iterator[Value]:
    """Every key that has a value of its own.

    Errors:
        ValueError: one has no `# --` comment, or nothing says what a null or an empty mapping may hold.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _walk(root, "", text.splitlines())


def build_schema() -> str:
    """values.schema.json."""
    tree: dict[str, Any] = {}
    for value in read_values((CHART / "values.yaml").read_text(encoding="utf-8")):
        place = tree
        *sections, key = value.path.split(".")
        for section in sections:
            place = place.setdefault(section, {"type": "object", "additionalProperties": False, "properties": {}})
            place = place["properties"]
        place[key] = {**value.schema, "description": value.about}
    tree["global"] = {"type": "object", "description": "Of a chart that has this one in it."}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of helm/airloom",
        "type": "object",
        "additionalProperties": False,
        "properties": tree,
    }
    return json.dumps({**schema, "$defs": _collect(schema)}, indent=1, ensure_ascii=False) + "\n"


def build_table() -> str:
    """Each value, its default, and what it is; then a team's."""
    lines = ["| value | default | |", "|---|---|---|"]
    for value in read_values((CHART / "values.yaml").read_text(encoding="utf-8")):
        options = "; ".join(f"`{each}`" for each in value.schema.get("enum", ()))
        about = f"{value.about} One of {options}." if options else value.about
        default = json.dumps(value.default, ensure_ascii=False)
        lines.append(f"| `{value.path}` | {f'`{default}`' if value.default not in ('', [], {}) else '–'} | {about} |")
    lines += ["", "Of each team in `teams`:", "", "| value | |", "|---|---|"]
    for key, part in _build_team()["properties"].items():
        lines.append(f"| `teams.<team>.{key}` | {' '.join(part['description'].split())} |")
    return "\n".join(lines).replace("<br>", " ") + "\n"


def main(arguments: list[str]) -> int:
    """Print whether the schema is current; 1 if not."""
    target = CHART / "values.schema.json"
    if "--write" in arguments:
        target.write_text(build_schema(), encoding="utf-8")
    if not target.is_file() or target.read_text(encoding="utf-8") != build_schema():
        print("helm/airloom/values.schema.json is not current; run `python -m tests.checks.chart_reference --write`")
        return 1
    print("the chart's schema is that of its values")
    return 0


def _walk(node: yaml.MappingNode, path: str, lines: list[str]) -> Iterator[Value]:
    for key, child in node.value:
        name = f"{path}{key.value}"
        about, given = _read_comment(lines, key.start_mark.line)
        if isinstance(child, yaml.MappingNode) and child.value and not about:
            yield from _walk(child, f"{name}.", lines)
            continue
        if not about:
            raise ValueError(f"values.yaml: {name} has no comment `# --` that says what it is")
        default = yaml.safe_load(yaml.serialize(child))
        schema = {**_type_of(default), **given}
        if default is None or (default == {} and len(schema) == 1):
            raise ValueError(f"values.yaml: nothing says what {name} may hold; add a comment `# @schema {{…}}`")
        yield Value(name, default, about, schema)


def _read_comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    words: list[str] = []
    schema: dict[str, Any] = {}
    while line and (found := re.match(r"\s*# (.*)", lines[line - 1])):
        line -= 1
        if found[1].startswith("@schema "):
            schema = json.loads(found[1].removeprefix("@schema "))
        else:
            words.insert(0, found[1])
            if found[1].startswith("-- "):
                return " ".join(words).removeprefix("-- "), schema
    return "", {}


def _type_of(default: Any) -> dict[str, Any]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return {"type": names[type(default)]} if type(default) in names else {}


def _build_team() -> dict[str, Any]:
    team: dict[str, Any] = _load("cluster")["Team"]
    return {**team, "properties": {**_OF_CHART, **team["properties"]}}


def _load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_SPEC / f"{name}.schema.json").read_text(encoding="utf-8"))["$defs"]
    return found


def _collect(schema: Any) -> dict[str, Any]:
    """The definitions that a schema refers to: of pods, of the cluster file, and of this module."""
    cluster = _load("cluster")
    without_needs = {key: value for key, value in cluster["Cluster"].items() if key != "required"}
    known = {**_load("pod"), **cluster, "Cluster": without_needs, "ChartTeam": _build_team()}
    found: dict[str, Any] = {}
    wanted = [schema]
    while wanted:
        for name in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(wanted.pop())):
            if name not in found:
                found[name] = known[name]
                wanted.append(known[name])
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
