"""Reference tables of the documents. Made from the models: each key, what it takes, its default and its docstring; and
from include/pyproject.toml, its extras.

`docs_true` puts them between `<!-- generated: NAME -->` and `<!-- /generated -->`, and checks that they are current.
"""

from __future__ import annotations

import json
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tests.checks import chart_reference

from airloom.spec import cluster, pipeline
from airloom.spec.parameters import PARAMETERS

ROOT = Path(__file__).parents[2]
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def build_pipeline_file() -> str:
    """Every section of a pipeline file."""
    return _build_model(pipeline.Pipeline)


def build_cluster_file() -> str:
    """Every section of the cluster file."""
    return _build_model(cluster.ClusterFile)


def build_trigger_parameters() -> str:
    """What a run of each DAG family may be started with."""
    parts = []
    for family, model in PARAMETERS.items():
        parts.append(f"### {family}\n\n")
        parts.append(_build_table(model, "") if model.model_fields else "Takes none.\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def build_extras() -> str:
    """What each extra of the `airloom` dist brings."""
    project = tomllib.loads((ROOT / "include" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = ["| extra | libraries |", "|---|---|"]
    for extra, requirements in project["optional-dependencies"].items():
        libraries = "all of these" if extra == "embedded" else ", ".join(f"`{each}`" for each in requirements)
        lines.append(f"| `{extra}` | {libraries} |")
    return "\n".join(lines) + "\n"


BUILDERS: Mapping[str, Callable[[], str]] = {
    "pipeline-file": build_pipeline_file,
    "cluster-file": build_cluster_file,
    "trigger-parameters": build_trigger_parameters,
    "extras": build_extras,
    "chart-values": chart_reference.build_table,
}


def _build_model(root: type[BaseModel]) -> str:
    parts = []
    for path, model in _walk(root, "", set()):
        about = " ".join((model.__doc__ or "").split())
        parts.append(f"### {path or 'The file'}\n\n{about}\n\n{_build_table(model, path)}\n")
    return "".join(parts).rstrip("\n") + "\n"


def _walk(model: type[BaseModel], path: str, seen: set[type]) -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and those below it, each once, with where it first stands."""
    seen.add(model)
    yield path, model
    for name, field in model.model_fields.items():
        for below, suffix in _find_models(field.annotation):
            if below not in seen:
                yield from _walk(below, f"{path}.{name}{suffix}".lstrip("."), seen)


def _find_models(annotation: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        tag = annotation.model_fields.get("type")
        kind = f" ({get_args(tag.annotation)[0]})" if tag and get_origin(tag.annotation) is Literal else ""
        yield annotation, f"{suffix}{kind}"
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return
    if origin is dict:
        yield from _find_models(arguments[1], f"{suffix}.NAME")
        return
    for argument in arguments[:1] if origin is Annotated else arguments:
        yield from _find_models(argument, f"{suffix}[]" if origin is tuple else suffix)


def _build_table(model: type[BaseModel], path: str) -> str:
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        about = " ".join((field.description or _describe(field.annotation)).split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {_name_kind(field.annotation)} | {_name_default(field)} | {about} |")
    return "\n".join(lines) + "\n"


def _describe(annotation: Any) -> str:
    """The first line of the section that a key without words of its own is."""
    docs = [(model.__doc__ or "").strip().partition("\n")[0] for model, _ in _find_models(annotation)]
    return docs[0] if docs else ""


def _name_kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Annotated:
        return _name_kind(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        inner = "anything" if arguments[1] is Any else _name_kind(arguments[1])
        return f"mapping: {inner}"
    if origin is tuple:
        return f"list: {_name_kind(arguments[0])}"
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys(_name_kind(argument) for argument in arguments if argument is not type(None))
        return " or ".join(kinds)
    return "section" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "anything"


def _name_default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    default = field.get_default(call_default_factory=True)
    if default is None or default in ((), {}, "") or isinstance(default, BaseModel):
        return "–"
    return f"`{json.dumps(default)}`"
