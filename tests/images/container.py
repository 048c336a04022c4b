"""An image's archive, run by runc as a cluster would at its strictest: read-only root, no capability, no network."""

from __future__ import annotations

import json
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.cluster.local.programs import run


class Container:
    """What lies in an archive, unpacked below a folder.

    Args:
        folder: a new, empty one.
    """

    def __init__(self, archive: Path, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "rootfs"
        self.root.mkdir()
        with tarfile.open(archive) as content:
            names = content.getnames()
            manifest = _read_json(content, "manifest.json")[0]
            self.document = _read_json(content, manifest["Config"])
            self.config = self.document["config"]
        assert {*manifest["Layers"], manifest["Config"], "manifest.json"} == {*names}
        for layer in manifest["Layers"]:
            run("sh", "-c", f"tar -xOf {archive} {layer} | tar -x -C {self.root}")

    def run(self, *arguments: str, read_only: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; gives its status and output, both streams together. Options as of `command`."""
        command = self.command(*arguments, read_only=read_only, **options)
        kept: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "check": False}
        return subprocess.run(command, timeout=300, **kept)

    @contextmanager
    def running(self, *arguments: str, **options: Any) -> Iterator[Path]:
        """A command runs in the meantime; gives its log. Options as of `command`."""
        command = self.command(*arguments, **options)
        log = self.folder / f"{command[-1]}.log"
        with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
            try:
                yield log
            finally:
                subprocess.run([*self._runc, "kill", command[-1], "KILL"], capture_output=True, check=False)
                process.wait(30)

    def command(
        self,
        *arguments: str,
        entrypoint: bool = False,
        read_only: bool = True,
        network: bool = False,
        mounts: Mapping[str, Path] = MappingProxyType({}),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """What runs a command in a new container of the image; the last word is the container's name.

        Args:
            entrypoint: the image's own command runs, with these arguments.
            network: it has the machine's.
            mounts: place in the container → folder of the machine that lies there.
        """
        name = f"airloom-{uuid.uuid4().hex}"
        bundle = self.folder / name
        bundle.mkdir()
        run("runc", "spec", cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        user, _, group = self.config["User"].partition(":")
        spec["process"].update(
            terminal=False,
            args=[*((self.config.get("Entrypoint") or ()) if entrypoint else ()), *arguments],
            env=[*self.config["Env"], *(f"{name}={value}" for name, value in environ.items())],
            cwd=self.config["WorkingDir"],
            user={"uid": int(user), "gid": int(group)},
            capabilities={},
            rlimits=[],
        )
        spec["root"] = {"path": str(self.root), "readonly": read_only}
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
        for place, folder in mounts.items():
            spec["mounts"].append({"destination": place, "type": "bind", "source": str(folder), "options": ["rbind"]})
        if network:
            spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "network"]
        (bundle / "config.json").write_text(json.dumps(spec))
        return [*self._runc, "run", "--bundle", str(bundle), name]

    @property
    def _runc(self) -> tuple[str, ...]:
        return ("runc", "--root", str(self.folder / "runc"))


def _read_json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)
