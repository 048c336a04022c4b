"""Images of the servers that Airloom's installations stand beside, where no registry can be reached.

Each is the same real server, from Debian's package or its Go module, in an image with the variables, ports, folders and
user ids of the official one. The tests of docker-compose.yaml and of the chart call `build_standin`. Not part of
Airloom: whoever has a registry takes the official images.

There is none of Grafana, Marquez and the OpenTelemetry collector: no package index that can be reached here has them
whole (the collector's distributions are made by a builder of their own). What an installation tells them is read by the
tests; they are not run.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster.local.programs import ensure_debian
from tests.cluster.local.servers import built_minio
from tests.images.buildah import Buildah
from tests.images.builder import image_cache
from tests.images.debian import build_debian

_OWN = Path(__file__).parent
_PROGRAMS: dict[str, Callable[[Callable[[str], object]], Path]] = {"minio": built_minio}
"""Image → what builds the program of its name, which its Dockerfile copies."""
_DEBIAN = {"buildah": "buildah", "debootstrap": "debootstrap", "runc": "runc"}
STANDINS = ("postgres", "minio", "prometheus", "alertmanager")


def build_standin(name: str, say: Callable[[str], object] = print) -> Path:
    """A stand-in's archive, from the cache or built now; `docker load` and `ctr images import` take it.

    Args:
        name: one of `STANDINS`.

    Errors:
        ClusterError: root, apt or Go is not there, or a step of the build fails.
    """
    ensure_debian(_DEBIAN, say)
    programs = [_PROGRAMS[name](say)] if name in _PROGRAMS else []
    folder = image_cache() / "standins"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = build_debian(image_cache(), say)
        archive = folder / f"{name}-{_digest(root, *sorted((_OWN / name).iterdir()), *programs)}.tar"
        if not archive.exists():
            say(f"building {standin_reference(name)}")
            part = folder / f"{name}.part"
            _build(name, root, programs, part)
            for old in folder.glob(f"{name}-{'?' * 12}.tar"):
                old.unlink()
            part.rename(archive)
    return archive


def standin_reference(name: str) -> str:
    """What compose and pods call the image."""
    return f"localhost/airloom/standin-{name}:dev"


def _build(name: str, root: Path, programs: list[Path], archive: Path) -> None:
    buildah = Buildah(archive.parent / "storage")
    base = f"localhost/airloom/{root.stem}:latest"
    if not buildah.has(base):
        buildah.import_root(root, base)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="context.") as context:
        for file in [*(_OWN / name).iterdir(), *programs]:
            shutil.copy(file, context)
        buildah.build(Path(context) / "Dockerfile", Path(context), standin_reference(name), {"BASE_IMAGE": base})
    buildah.write_archive(standin_reference(name), archive)


def _digest(root: Path, *files: Path) -> str:
    """Of all that goes into an image. A built program lies in a folder that is named after its sources."""
    digest = hashlib.sha256(root.name.encode())
    for file in files:
        content = file.read_bytes() if file.is_relative_to(_OWN) else str(file.parent.name).encode()
        digest.update(f"\n{file.name} {hashlib.sha256(content).hexdigest()}".encode())
    return digest.hexdigest()[:12]
