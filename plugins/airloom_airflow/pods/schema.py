"""Checks a pod against Kubernetes' own OpenAPI before anything is sent.

`pod.schema.json` is made from the OpenAPI document of Kubernetes 1.35 (tests/cluster/local/pod_schema.py), with unknown
fields refused: the API server drops them in silence.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from airloom.errors import ConfigError


def require_valid_pod(manifest: dict[str, Any], what: str) -> None:
    """
    Args:
        manifest: a pod.
        what: names it in the error.

    Errors:
        ConfigError: with every place in the manifest, what was given and what is allowed.
    """
    complaints = [
        f"{'.'.join(map(str, error.absolute_path)) or 'the pod'}: {_shorten(error)}"
        for error in sorted(_validator().iter_errors(manifest), key=lambda error: list(map(str, error.absolute_path)))
    ]
    if complaints:
        raise ConfigError(f"{what} is no pod that Kubernetes takes: {'; '.join(complaints)}")


def _shorten(error: Any) -> str:
    if error.validator == "additionalProperties":
        allowed = ", ".join(sorted(error.schema["properties"]))
        return f"{error.message.partition(' (')[2].rstrip(')')}; allowed are {allowed}"
    return str(error.message)[:300]


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    return Draft202012Validator(json.loads(Path(__file__).with_name("pod.schema.json").read_text()))
