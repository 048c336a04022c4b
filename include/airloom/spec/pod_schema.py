"""What of a pod Kubernetes' own OpenAPI refuses, before anything is sent.

`cluster_pods` asks it of parts of the cluster file, the Airflow side of each pod that it makes.

`pod.schema.json` is made from the OpenAPI document of Kubernetes 1.35 (tests/cluster/local/pod_schema.py), with unknown
fields refused: the API server drops them in silence. It takes jsonschema, which Airflow and Great Expectations bring;
no requirement of airloom's own, since a stage has no use for it.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airloom.spec.complaints import Complaint
from airloom.spec.document import Key, shorten


def can_check_pods() -> bool:
    """Whether the library that it takes is installed here."""
    return importlib.util.find_spec("jsonschema") is not None


def check_pod(manifest: dict[str, Any]) -> Iterator[Complaint]:
    """Every place in a pod that is not as Kubernetes has it, in their order.

    Args:
        manifest: plain data, as JSON would have it.
    """
    errors = _load_validator().iter_errors(manifest)
    for error in sorted(errors, key=lambda error: [str(step) for step in error.absolute_path]):
        path: tuple[Key, ...] = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            allowed = sorted(error.schema["properties"])
            for key in sorted(set(error.instance) - set(allowed)):
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f" did you mean {near[0]!r}?" if near else ""
                yield Complaint((*path, key), f"unknown key {shorten(key)};{hint} allowed: {', '.join(allowed)}", True)
        else:
            yield Complaint(path, str(error.message)[:300], error.validator == "required")


@functools.cache
def _load_validator() -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator(json.loads(Path(__file__).with_name("pod.schema.json").read_text()))
