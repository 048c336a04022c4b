"""An image's archive, run by runc as a cluster would at its strictest: read-only root, no capability, no network."""

from __future__ import annotations

import json
import subprocess
import tarfile
import uuid
from pathlib import Path
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

    def run(
        self, *arguments: str, entrypoint: bool = False, read_only: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, or the image's own with arguments; gives its status and output, both streams together."""
        bundle = self.folder / uuid.uuid4().hex
        bundle.mkdir()
        run("runc", "spec", cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        command = [*(self.config["Entrypoint"] if entrypoint else ()), *arguments]
        (bundle / "config.json").write_text(json.dumps(self._complete(spec, command, read_only)))
        return subprocess.run(
            ["runc", "--root", self.folder / "runc", "run", "--bundle", bundle, f"airloom-{bundle.name}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def _complete(self, spec: dict[str, Any], command: list[str], read_only: bool) -> dict[str, Any]:
        user, _, group = self.config["User"].partition(":")
        process = spec["process"]
        process.update(terminal=False, args=command, env=self.config["Env"], cwd=self.config["WorkingDir"])
        process.update(user={"uid": int(user), "gid": int(group)}, rlimits=[])
        process["capabilities"] = {}
        spec["root"] = {"path": str(self.root), "readonly": read_only}
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
        return spec


def _read_json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)
