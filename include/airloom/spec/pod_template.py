"""What a profile's `podTemplate` may not say: what Airloom finds its pods by, and goes by when they end. Pure.

`cluster` calls it. Not here: whether Kubernetes takes the rest, which its OpenAPI says when the pod is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airloom.spec.complaints import Complaint
from airloom.spec.document import Key, shorten

_PARTS = ("metadata", "spec")
_OWN_PREFIX = "airloom.io/"
_OWN_LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/managed-by")
_NAMED = "pods are named by their task and try, so that each is made once and found again; leave it out"
_METADATA = {
    "name": _NAMED,
    "generateName": _NAMED,
    "namespace": "a team's pods run in one namespace; leave it out, and give `namespace` in the cluster file's spec "
    "or in spec.teams.<team>",
}
_RESTART = (
    "a stage's pod runs once (Never), and what becomes of a stage that failed `infrastructure_losses` here and "
    "`retries` of the pipeline file say; leave it out"
)
_STAGE = {
    "args": "Airloom says there which stage to run; leave it out, and give `command` to put something before it",
    "terminationMessagePath": "the stage's answer is read there; leave it out",
    "terminationMessagePolicy": "the stage's answer is read there; leave it out",
}
"""Of the container `stage`."""


def check_pod_template(template: dict[str, Any], place: tuple[Key, ...]) -> Iterator[Complaint]:
    """All that is Airloom's own in a template.

    Args:
        template: as the cluster file has it.
        place: its path there.
    """
    for key in template:
        if key not in _PARTS:
            message = f"unknown key {shorten(key)}; allowed: {', '.join(_PARTS)}, as a pod has them"
            yield Complaint((*place, key), message, True)
    if "metadata" in template:
        yield from _check_metadata(template["metadata"], (*place, "metadata"))
    spec = template.get("spec")
    if isinstance(spec, dict):  # of another kind Kubernetes' OpenAPI refuses it
        yield from _check_spec(spec, (*place, "spec"))


def _check_metadata(metadata: Any, place: tuple[Key, ...]) -> Iterator[Complaint]:
    if not isinstance(metadata, dict):
        yield _ask_mapping(metadata, place)
        return
    for key in _METADATA.keys() & metadata.keys():
        yield _refuse(metadata, key, place, _METADATA[key])
    for kind in ("labels", "annotations"):
        if kind not in metadata:
            continue
        given = metadata[kind]
        if not isinstance(given, dict):
            yield _ask_mapping(given, (*place, kind))
            continue
        for key in given:
            if key.startswith(_OWN_PREFIX) or (kind == "labels" and key in _OWN_LABELS):
                why = (
                    f"Airloom finds its pods by it; give your {kind} names of your own, such as example.com/cost-centre"
                )
                yield _refuse(given, key, (*place, kind), why)


def _check_spec(spec: dict[str, Any], place: tuple[Key, ...]) -> Iterator[Complaint]:
    if "restartPolicy" in spec:
        yield _refuse(spec, "restartPolicy", place, _RESTART)
    containers = spec.get("containers")
    for index, container in enumerate(containers if isinstance(containers, list) else ()):
        if isinstance(container, dict) and container.get("name") == "stage":
            for key in _STAGE.keys() & container.keys():
                yield _refuse(container, key, (*place, "containers", index), _STAGE[key])


def _refuse(part: dict[str, Any], key: str, place: tuple[Key, ...], why: str) -> Complaint:
    return Complaint((*place, key), f"given {shorten(part[key])}, but {key} is Airloom's own: {why}", True)


def _ask_mapping(given: Any, place: tuple[Key, ...]) -> Complaint:
    return Complaint(place, f"given {shorten(given)}; give a mapping (`key: value`), or leave it out", False)
