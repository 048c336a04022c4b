"""`python -m tests.dist [FOLDER]`: what a release is made of, all of the version in include/pyproject.toml.

`make dist` calls it. Wheels and source archives of both dists, the chart's package, the tags that images of this release
have, and the locks as constraints for pip. The same sources give the same bytes. Publishes nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.checks.dists_true import DISTS, ROOT, find_faults, read_version
from tests.images.builder import PRODUCTS

FOLDER = ROOT / "build" / "dist"
CHART = ROOT / "helm" / "airloom"
IMAGES = "images.txt"
SUMS = "SHA256SUMS"
CONSTRAINTS = {
    "constraints-airflow-3.11.txt": "requirements.txt",
    "constraints-stages-3.11.txt": "docker/stage-cpu/requirements.txt",
}
"""File for `pip install --constraint` → the lock that it is made from."""


def main(arguments: list[str]) -> int:
    """Build all of it anew; 1 where the sources are not of one version, or a build fails."""
    folder = Path(arguments[0]) if arguments else FOLDER
    if faults := list(find_faults(ROOT)):
        print("\n".join(faults), file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    version = read_version()
    try:
        for dist in DISTS:
            build_dist(ROOT / dist, folder)
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))} ended with status {error.returncode}", file=sys.stderr)
        return 1
    if CHART.is_dir():
        pack_chart(CHART, folder / f"{CHART.name}-{version}.tgz")
    else:
        print(f"no chart: {CHART.relative_to(ROOT)} is not there yet", file=sys.stderr)
    (folder / IMAGES).write_text("".join(f"airloom/{name}:{version}\n" for name in PRODUCTS))
    for name, lock in CONSTRAINTS.items():
        (folder / name).write_text("".join(f"{pin}\n" for pin in list_pins((ROOT / lock).read_text())))
    made = sorted(folder.iterdir())
    (folder / SUMS).write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made))
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1000:7.0f} kB  {path.relative_to(folder.parent)}")
    return 0


def build_dist(project: Path, folder: Path) -> None:
    """A project's source archive, and the wheel from that archive: what is not in it is not in the wheel."""
    uv = ROOT / ".venv" / "uv" / "bin" / "uv"
    command = [uv, "build", "--quiet", "--offline", "--no-create-gitignore", "--out-dir", folder, project]
    subprocess.run(command, check=True)


def pack_chart(chart: Path, archive: Path) -> None:
    """A chart as `helm package` would lay it, with no times or owners, and no hidden files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(chart.rglob("*")):
            name = path.relative_to(chart.parent)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                entry = tarfile.TarInfo(str(name))
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    tar.addfile(entry, content)
    archive.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def list_pins(lock: str) -> Iterator[str]:
    """The pins of a lock, without their hashes: pip takes constraints beside packages of no lock, our wheels."""
    return (found[1] for found in re.finditer(r"^(\S+==[^\s\\]+)", lock, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
