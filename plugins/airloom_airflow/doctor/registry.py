"""Asks a registry whether it has an image, by the Distribution API, without credentials.

Source: OCI Distribution Specification 1.1, "Checking if content exists in the registry"; tokens as Docker's "Registry
v2 authentication" has them.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode

from airloom.diagnosis import Diagnosis, right, unchecked, wrong

_SECONDS = 5
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


@dataclass(frozen=True)
class Image:
    """An image reference, in its parts; `reference` is the tag or the digest."""

    registry: str
    repository: str
    reference: str

    @property
    def url(self) -> str:
        """Of its manifest; plain HTTP on loopback only, as container engines have it."""
        scheme = "http" if re.match(r"(localhost|127\.|\[::1\])", self.registry) else "https"
        return f"{scheme}://{self.registry}/v2/{self.repository}/manifests/{self.reference}"


def parse_image(text: str) -> Image:
    """An image as a container engine reads it: no registry is Docker Hub, no tag is `latest`."""
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = "registry-1.docker.io", name if slash else f"library/{name}"
    repository, _, tag = path.partition(":")
    return Image(registry, repository, digest or tag or "latest")


def check_image(text: str, where: str) -> Diagnosis:
    """Whether the registry has it; a registry that asks for a login, or is not reached from here, is not checked."""
    image = parse_image(text)
    place = f"{where}: {text}"
    try:
        status = _head(image, None)
        if isinstance(status, str):
            status = _head(image, _fetch_token(status, image))
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", error)
        remedy = "See that the cluster's nodes reach it, and that the image is there."
        return unchecked("images", place, f"the registry {image.registry} does not answer here: {reason}", remedy)
    if status == 200:
        return right("images", place, "the registry has it")
    if status == 404:
        remedy = "Push it, or mend the name in the cluster file."
        return wrong("images", place, f"the registry {image.registry} has no such image", remedy)
    message = f"the registry {image.registry} answers {status}"
    return unchecked("images", place, message, "See that the nodes may pull it: `imagePullSecrets` of the profile.")


def _head(image: Image, token: str | None) -> int | str:
    """The HTTP status; where a token is asked for, and none was given, the challenge."""
    headers = {"Accept": _ACCEPT, **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        request = urllib.request.Request(image.url, method="HEAD", headers=headers)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        return challenge if error.code == 401 and token is None and challenge.startswith("Bearer ") else error.code


def _fetch_token(challenge: str, image: Image) -> str:
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    asked = {"service": told.get("service", ""), "scope": f"repository:{image.repository}:pull"}
    with urllib.request.urlopen(f"{told['realm']}?{urlencode(asked)}", timeout=_SECONDS) as answer:
        given = json.load(answer)
    return str(given.get("token") or given["access_token"])
