"""buildah, with a storage of its own: no daemon, no mount that stays, nothing of the machine's own images touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.cluster.local.programs import run

EPOCH = 1767225600
"""SOURCE_DATE_EPOCH of every file and image: 2026-01-01."""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_REGISTRY_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")


@dataclass(frozen=True)
class Buildah:
    """Images kept below `folder`."""

    folder: Path

    def import_root(self, archive: Path, reference: str) -> None:
        """An image of one layer from a root file system's tar."""
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="import.") as context:
            os.link(archive, Path(context) / "root.tar")
            (Path(context) / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
            self._run("bud", *_HOW, "--layers=false", "--tag", reference, context)

    def has(self, reference: str) -> bool:
        images = json.loads(self._run("images", "--json") or "[]") or []
        return any(reference in (image["names"] or ()) for image in images)

    def build(
        self, dockerfile: Path, context: Path, reference: str, arguments: Mapping[str, str], target: str = ""
    ) -> None:
        """Build a Dockerfile, with the registry, certificates and package cache of this machine lent to the build.

        They are build arguments of its first stage and mounts, over folders that every base has: of a mount that a
        layer has no place for, it would keep the place. So none of them is in the image.
        """
        cache = _package_cache()
        cache.mkdir(parents=True, exist_ok=True)
        given = dict(arguments)
        given.update({name: os.environ[name] for name in _REGISTRY_VARIABLES if os.environ.get(name)})
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="lent.") as name:
            home, run_folder = Path(name, "root"), Path(name, "run")
            (home / ".cache" / "uv").mkdir(parents=True)
            run_folder.mkdir()
            lent = [f"{home}:/root", f"{cache}:/root/.cache/uv", f"{run_folder}:/run"]
            if _CERTIFICATES.exists():
                shutil.copy(_CERTIFICATES, run_folder / "certificates.pem")
                given.update(PIP_CERT="/run/certificates.pem", SSL_CERT_FILE="/run/certificates.pem")
            options = [f"--volume={mount}" for mount in lent]
            options += [f"--build-arg={name}={value}" for name, value in given.items()]
            if target:
                options.append(f"--target={target}")
            self._run("bud", *_HOW, "--layers", *options, "--file", dockerfile, "--tag", reference, context)

    def prune(self) -> None:
        """Forget the layers that no named image stands on."""
        self._run("rmi", "--prune", "--force")

    def write_archive(self, reference: str, archive: Path) -> None:
        """The image as `docker load` and `ctr images import` take it; the same layers give the same bytes.

        buildah writes the container and host that it built in into the image's configuration; they are left out.
        """
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix="push.") as name:
            folder = Path(name)
            self._run("push", "--quiet", "--disable-compression", reference, f"dir:{folder}")
            manifest = json.loads((folder / "manifest.json").read_text())
            config = json.loads((folder / _file_name(manifest["config"]["digest"])).read_text())
            text = json.dumps(_without_builder(config), sort_keys=True).encode()
            config_name = f"{hashlib.sha256(text).hexdigest()}.json"
            layers = [f"{_file_name(layer['digest'])}" for layer in manifest["layers"]]
            listing = [{"Config": config_name, "RepoTags": [reference], "Layers": [f"{layer}.tar" for layer in layers]}]
            with tarfile.open(archive, "w") as out:
                for layer in layers:
                    with (folder / layer).open("rb") as file:
                        _add(out, f"{layer}.tar", (folder / layer).stat().st_size, file)
                for entry, content in ((config_name, text), ("manifest.json", json.dumps(listing).encode())):
                    _add(out, entry, len(content), BytesIO(content))

    def run_in(self, reference: str, *command: str, environ: Mapping[str, str] | None = None) -> str:
        """What a command prints in a container of the image, as the image's user."""
        container = self._run("from", "--pull-never", reference).strip()
        try:
            options = [f"--env={name}={value}" for name, value in (environ or {}).items()]
            return self._run("run", "--isolation=chroot", *options, container, "--", *command)
        finally:
            self._run("rm", container)

    def _run(self, command: str, *options: str | Path) -> str:
        storage = ("--root", self.folder, "--runroot", self.folder.with_name(f"{self.folder.name}.run"))
        driver = ("--storage-driver", "overlay", "--storage-opt", "overlay.skip_mount_home=true")
        return run("nice", "buildah", *storage, *driver, command, *options)


_HOW = ("--quiet", "--isolation=chroot", "--format=docker", f"--timestamp={EPOCH}")
"""`docker`, for the OCI format has no health check."""


def _package_cache() -> Path:
    given = os.environ.get("UV_CACHE_DIR")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"


def _file_name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _without_builder(config: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in config.items() if name not in ("container", "container_config", "parent")}
    kept["config"] = {name: value for name, value in config["config"].items() if name not in ("Hostname", "Image")}
    kept["history"] = [{name: value for name, value in step.items() if name != "comment"} for step in config["history"]]
    return kept


def _add(archive: tarfile.TarFile, name: str, size: int, content: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size, EPOCH
    archive.addfile(entry, content)
