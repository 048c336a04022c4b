"""Checks a pod against Kubernetes' own OpenAPI before anything is sent."""

from __future__ import annotations

from typing import Any

from airloom.errors import ConfigError
from airloom.spec.document import join_path
from airloom.spec.pod_schema import check_pod


def require_valid_pod(manifest: dict[str, Any], what: str) -> None:
    """
    Args:
        manifest: a pod.
        what: names it in the error.

    Errors:
        ConfigError: with every place in the manifest, what was given and what is allowed.
    """
    complaints = [f"{join_path(each.path) or 'the pod'}: {each.message}" for each in check_pod(manifest)]
    if complaints:
        raise ConfigError(f"{what} is no pod that Kubernetes takes: {'; '.join(complaints)}")
