"""Builds the images that Airloom ships, and one for tests, into a cache keyed by what goes into them.

Tests call `build_image`; `python -m tests.images` is its command. Not part of Airloom: whoever has Docker needs only
the Dockerfiles.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.local.programs import ClusterError, ensure_debian, user_cache
from tests.images.buildah import Buildah
from tests.images.debian import build_debian

ROOT = Path(__file__).parents[2]
_DEBIAN = {"buildah": "buildah", "debootstrap": "debootstrap", "runc": "runc"}
"""Program → package."""
_OWN = Path(__file__).parent


@dataclass(frozen=True)
class Image:
    """Where an image is made from, below the repository's root."""

    dockerfile: str
    lock: str
    sources: tuple[str, ...] = ("include",)


IMAGES = {
    "airflow": Image("docker/airflow/Dockerfile", "requirements.txt", ("include", "plugins")),
    "stage-cpu": Image("docker/stage-cpu/Dockerfile", "docker/stage-cpu/requirements.txt"),
    "stage-gpu": Image("docker/stage-gpu/Dockerfile", "docker/stage-gpu/requirements.txt"),
    "serve": Image("docker/serve/Dockerfile", "docker/serve/requirements.txt"),
    "stage-trivial": Image("tests/images/stage-trivial/Dockerfile", "tests/images/stage-trivial/requirements.txt"),
}
PRODUCTS = ("airflow", "stage-cpu", "stage-gpu", "serve")
"""The images that Airloom ships; `stage-trivial` is for tests."""


def build_image(name: str, base: str | None = None, say: Callable[[str], object] = print) -> Path:
    """An image's archive, from the cache or built now; `docker load` and `ctr images import` take it.

    Args:
        name: one of `IMAGES`.
        base: image of a registry to build on; a Debian made here when None.

    Errors:
        ClusterError: root or apt is not there, or a step of the build fails.
    """
    folder = image_cache()
    archive = folder / f"{name}-{_digest(name, base)}.tar"
    if archive.exists():
        return archive
    with _lock(folder):
        if not archive.exists():
            say(f"building {image_reference(name)}")
            part = folder / f"{name}.part"
            build_archive(name, base, Buildah(folder / "storage"), part, say)
            for old in folder.glob(f"{name}-{'?' * 12}.tar"):
                old.unlink()
            part.rename(archive)
    return archive


def build_archive(name: str, base: str | None, buildah: Buildah, archive: Path, say: Callable[[str], object]) -> None:
    """Build an image in a storage, whatever the cache of archives holds, and write its archive."""
    if os.geteuid() != 0:
        raise ClusterError("images are built by root here; be root, or `docker build` the Dockerfiles of docker/")
    ensure_debian(_DEBIAN, say)
    if base is None:
        root = build_debian(image_cache(), say)
        base = f"localhost/airloom/{root.stem}:latest"
        if not buildah.has(base):
            buildah.import_root(root, base)
    image = IMAGES[name]
    arguments = {"BASE_IMAGE": base, "VERSION": _version()}
    # The packages' stage has a name, so that pruning leaves it for the next build of the same lock.
    packages = f"localhost/airloom/{name}-dependencies:latest"
    buildah.build(ROOT / image.dockerfile, ROOT, packages, arguments, target="dependencies")
    buildah.build(ROOT / image.dockerfile, ROOT, image_reference(name), arguments)
    buildah.write_archive(image_reference(name), archive)
    buildah.prune()


def image_reference(name: str) -> str:
    """What a pod calls the image."""
    return f"localhost/airloom/{name}:dev"


def image_cache() -> Path:
    folder = user_cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(name: str, base: str | None) -> str:
    """Of all that goes into an image: its Dockerfile, lock and sources, its base, and how it is built."""
    image = IMAGES[name]
    files = [ROOT / image.dockerfile, ROOT / image.lock, ROOT / "docker/uv.txt", ROOT / ".dockerignore"]
    files += sorted((ROOT / "docker").glob("*.sh"))
    files += [_OWN / "buildah.py", _OWN / "debian.py"]
    for source in image.sources:
        files += sorted(
            path for path in (ROOT / source).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )
    digest = hashlib.sha256(f"{base} {os.uname().machine}".encode())
    for file in files:
        digest.update(f"\n{file.relative_to(ROOT)} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()[:12]


def _version() -> str:
    project = tomllib.loads((ROOT / "include/pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One build at a time: two would take each other's layers away."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
