"""pydantic's errors → findings in plain words: what was given, what is allowed, what to do. `loader` calls it when a
pipeline is not valid. Not here: where a value stands (`document`).
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from airloom.spec.document import Key, shorten
from airloom.spec.section import MOMENT, MisfitError

PATTERNS = {
    MOMENT: "give a time as ISO 8601 has it, such as 2026-01-31T00:00:00Z",
    r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$": (
        "give lower-case words and digits joined by single _ or -, starting with a letter, such as flight_delay; "
        "no dots, slashes or spaces"
    ),
    r"^[a-z][a-z0-9_]*$": "give a function of sklearn.metrics by its name, such as roc_auc_score",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$": "give a class by its dotted path, such as sklearn.linear_model.Ridge",
    r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "give module:function, such as flights.training:fit",
    r"^[A-Za-z][A-Za-z0-9_]*$": "give the secret's name: letters, digits and _, starting with a letter",
    r"^[A-Za-z_][\w.]*$": "give an installed Python package by its import name, such as sklearn",
    r"^[0-9]+$": 'give a model version\'s number, in quotes, such as "3"',
    r"^[A-Za-z_]\w*$": "give a table's name: letters, digits and _",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "give a variable's name: letters, digits and _, such as PGPASSWORD",
    r"^(uri|login|password|host|port|schema|extra(\.[\w-]+)?)$": (
        "give what of the connection is meant: password, login, host, port, schema, uri, extra or extra.KEY"
    ),
    r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$": "give a Kubernetes quantity in quotes, such as '500m', '2' or 4Gi",
    r"^[0-9]g\.[0-9]+gb$": "give a MIG slice, such as 1g.5gb",
    r"^([a-z0-9-]|\{team\})+$": "give a namespace: lower-case letters, digits and -, and {team} for the team's name",
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$": "give a namespace: lower-case letters, digits and - between them",
}
"""What each pattern in the models asks for, in words."""

_KINDS = {
    "model_type": "give a mapping (`key: value`)",
    "model_attributes_type": "give a mapping (`key: value`)",
    "dict_type": "give a mapping (`key: value`)",
    "tuple_type": "give a list (`[a, b]`, or one `- item` a line)",
    "string_type": "give text; put it in quotes",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "finite_number": "give a finite number",
    "string_too_short": "give text that is not empty",
}


@dataclass(frozen=True)
class Complaint:
    """One error of the models.

    Attributes:
        path: keys and indexes from the top of the merged data.
        of_key: it is about the key itself (an unknown one) or about the section as a whole.
    """

    path: tuple[Key, ...]
    message: str
    of_key: bool


def build_complaints(model: type[BaseModel], data: Any, errors: list[ErrorDetails]) -> Iterator[Complaint]:
    """Put pydantic's errors into words.

    Args:
        model: what was validated against.
        data: what was validated.
        errors: `ValidationError.errors()`.
    """
    for error in errors:
        path, owner = _trace(model, data, error["loc"])
        if path is None:
            continue
        kind, given, context = error["type"], error["input"], error.get("ctx", {})
        if kind == "extra_forbidden":
            yield Complaint(path, _unknown_key(str(path[-1]), owner), True)
        elif kind == "missing":
            yield Complaint(path, f"{str(path[-1])!r} is missing{_meaning(owner, path[-1])}; add it", True)
        elif kind == "value_error":
            told = context["error"]
            yield Complaint((*path, *told.path) if isinstance(told, MisfitError) else path, str(told), True)
        elif kind == "union_tag_not_found":
            yield Complaint(path, "'type' is missing" + _types_of(owner), True)
        elif kind == "union_tag_invalid":
            allowed = str(context["expected_tags"])
            near = _near(str(context["tag"]), allowed.replace("'", "").split(", "))
            yield Complaint((*path, "type"), f"given {shorten(context['tag'])};{near} allowed: {allowed}", False)
        elif kind == "literal_error":
            near = _near(str(given), str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", "))
            yield Complaint(path, f"given {shorten(given)};{near} allowed: {context['expected']}", False)
        elif kind == "string_pattern_mismatch":
            words = PATTERNS.get(context["pattern"], f"it must match {context['pattern']}")
            yield Complaint(path, f"given {shorten(given)}; {words}", error["loc"][-1] == "[key]")
        else:
            asked = _KINDS.get(kind) or _rephrase(error["msg"])
            yield Complaint(path, f"given {shorten(given)}; {asked}", False)


def _rephrase(said: str) -> str:
    """pydantic's own words, as a request."""
    for theirs, ours in (("Input should be", "give a value"), ("String should have", "give text of")):
        said = said.replace(theirs, ours, 1)
    return said


def _unknown_key(key: str, owner: Any) -> str:
    allowed = sorted(owner.model_fields) if _is_model(owner) else []
    if not allowed:
        return f"unknown key {shorten(key)}"
    return f"unknown key {shorten(key)};{_near(key, allowed)} allowed: {', '.join(allowed)}"


def _near(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, 1)
    return f" did you mean {near[0]!r}?" if near else ""


def _meaning(owner: Any, key: Key) -> str:
    """The first sentence of a field's description, in brackets."""
    field = owner.model_fields.get(key) if _is_model(owner) else None
    words = (field.description or "") if field else ""
    if not words and field and _is_model(field.annotation):
        words = field.annotation.__doc__ or ""
    first = " ".join(words.split()).partition(". ")[0].rstrip(".")
    return f" ({first})" if first else ""


def _types_of(union: Any) -> str:
    tags = [tag for member in _members(union) if (tag := _tag(member))]
    return f"; allowed: {', '.join(map(repr, tags))}" if tags else ""


def _trace(model: Any, data: Any, loc: tuple[Key, ...]) -> tuple[tuple[Key, ...] | None, Any]:
    """pydantic's location → path in the data, and the type at its parent (at it, for unions).

    The location also names members of unions, which are not in the data. None for the path where the error is of a
    union's member that was not meant (text offered to a mapping, or the other way round).
    """
    path: list[Key] = []
    here, owner = _bare(model), model
    for step in loc:
        if step == "[key]":
            continue
        members = _members(here)
        if members:
            meant = [member for member in members if _is_named(member, str(step))]
            here = owner = meant[0] if meant else str
            if _is_model(here) != isinstance(data, dict):
                return None, None
            continue
        owner = here
        path.append(step)
        data = _step_data(data, step)
        here = _step_type(here, step)
    return tuple(path), here if _members(here) else owner


def _is_named(member: Any, step: str) -> bool:
    """Whether a step of pydantic's location is of that member of a union: by tag, or by name, which stands in
    `function-after[…, Name]` where the member has a validator of its own."""
    name = getattr(member, "__name__", "")
    return step in (_tag(member), name) or (bool(name) and step.endswith(f", {name}]"))


def _step_data(data: Any, step: Key) -> Any:
    if isinstance(data, dict):
        return data.get(step)
    if isinstance(data, list | tuple) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _step_type(here: Any, step: Key) -> Any:
    if _is_model(here):
        field = here.model_fields.get(str(step))
        return _bare(field.annotation) if field else Any
    arguments = [argument for argument in get_args(here) if argument is not Ellipsis]
    return _bare(arguments[-1]) if arguments else Any


def _bare(annotation: Any) -> Any:
    """Without Annotated, and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [argument for argument in get_args(annotation) if argument is not type(None)]
        if len(rest) == 1:
            return _bare(rest[0])
    return annotation


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) not in (Union, types.UnionType):
        return []
    return [_bare(argument) for argument in get_args(annotation) if argument is not type(None)]


def _tag(member: Any) -> str | None:
    """The `type` that chooses this member of a discriminated union."""
    field = member.model_fields.get("type") if _is_model(member) else None
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    return str(get_args(field.annotation)[0])


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
