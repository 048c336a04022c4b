"""What of a cluster file Kubernetes will not take, told before a pod is made of it.

Pure, but for `place_in_file`, which reads the file again.

`airloom validate` calls it, and the doctor for the amounts. Not part of reading the file, which every task does: the
OpenAPI document takes longer to read than all the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from airloom.errors import Finding
from airloom.spec.cluster import Cluster, Images, Profile
from airloom.spec.complaints import Complaint
from airloom.spec.document import Key, join_path, load_document, shorten
from airloom.spec.pod_schema import check_pod
from airloom.spec.quantity import parse_quantity

_PART = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?"
)
"""Source: the Distribution project's reference grammar, github.com/distribution/reference."""

_VERBATIM = (
    "affinity", "tolerations", "nodeSelector", "runtimeClassName", "priorityClassName", "resourceClaims"
)  # fmt: skip
"""Fields of a profile that become those of a pod's `spec` as they are."""


def check_amounts(cluster: Cluster) -> Iterator[Complaint]:
    """Limits below what is asked for, and images that no registry could have."""
    yield from _check_images(cluster.images, ("spec", "images"))
    for name, other in cluster.clusters.items():
        if other.images is not None:
            yield from _check_images(other.images, ("spec", "clusters", name, "images"))
    for name, profile in cluster.profiles.items():
        place: tuple[Key, ...] = ("spec", "profiles", name)
        if profile.image is not None:
            yield from _check_image(profile.image, (*place, "image"))
        for limit, request in (("memory_max", "memory"), ("cpu_limit", "cpu")):
            given, asked = getattr(profile, limit), getattr(profile, request)
            if given is not None and parse_quantity(given) < parse_quantity(asked):
                message = f"given {given!r}, less than the profile's {request}, {asked}; give as much, or leave it out"
                yield Complaint((*place, limit), message, False)


def check_fields(cluster: Cluster) -> Iterator[Complaint]:
    """What Kubernetes' OpenAPI refuses of the fields that are handed to it as they are. It takes `can_check_pods`."""
    for name, profile in cluster.profiles.items():
        place: tuple[Key, ...] = ("spec", "profiles", name)
        for own, manifest in _build_probes(profile):
            for complaint in check_pod(manifest):
                path = complaint.path if own == "podTemplate" else complaint.path[2:]
                yield Complaint((*place, own, *path), complaint.message, complaint.of_key)


def place_in_file(complaints: Iterable[Complaint], path: Path) -> list[Finding]:
    """Where in the cluster file each stands."""
    document = load_document(path)
    return [
        Finding(str(path), *document.find(each.path, each.of_key)[1], join_path(each.path), each.message)
        for each in complaints
    ]


def _build_probes(profile: Profile) -> Iterator[tuple[str, dict[str, Any]]]:
    """A pod with nothing in it but one field of the profile's, for each that is given."""
    given = json.loads(profile.model_dump_json(include={*_VERBATIM, "podTemplate"}, exclude_defaults=True))
    for name, value in given.items():
        if name == "podTemplate":
            spec = value.get("spec", {})
            yield name, {**value, "spec": {"containers": [], **spec} if isinstance(spec, dict) else spec}
        else:
            yield name, {"spec": {"containers": [], name: value}}


def _check_images(images: Images, place: tuple[Key, ...]) -> Iterator[Complaint]:
    yield from _check_image(images.cpu, (*place, "cpu"))
    if images.gpu is not None:
        yield from _check_image(images.gpu, (*place, "gpu"))


def _check_image(image: str, place: tuple[Key, ...]) -> Iterator[Complaint]:
    if not _IMAGE.fullmatch(image):
        message = (
            f"given {shorten(image)}, which no image is called; give registry/repository:tag, in lower case but for "
            "the tag, and without blanks"
        )
        yield Complaint(place, message, False)
