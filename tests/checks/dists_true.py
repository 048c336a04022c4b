"""Is all that a release has of one version, and does each dist carry the licence? `make check` runs it.

The version stands in include/pyproject.toml; to raise it, change it there and run this with `--write`, which takes it,
and the licence, to wherever else they are. The changelog's heading is the author's: it is compared, never written.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = "include/pyproject.toml"
CHANGELOG = "CHANGELOG.md"
PLACES = {
    "include/airloom/__init__.py": (r'^__version__ = "(.+)"$',),
    "plugins/pyproject.toml": (r'^version = "([^"]+)"', r'"airloom==([^"]+)"'),
    "helm/airloom/Chart.yaml": (r'^version: "?([^"\s]+)"?', r'^appVersion: "?([^"\s]+)"?'),
    CHANGELOG: (r"(?s)\A# .*?^## (\S+)",),
}
"""File → where the version is in it; each is there. A file that is not there yet has no version to keep."""
MENTIONS = re.compile(r"airloom(?:[_-]airflow)?(?:-|==)(\d+\.\d+\.\d+)")
"""A dist with its version, wherever a document names one."""
LICENCE = "LICENSE"
DISTS = ("include", "plugins")


def main(arguments: list[str]) -> int:
    """Print what differs; 1 if anything."""
    if "--write" in arguments:
        write(ROOT)
    faults = list(find_faults(ROOT))
    print("\n".join(faults) or f"all of it is version {read_version(ROOT)}, and has the licence")
    return 1 if faults else 0


def read_version(root: Path = ROOT) -> str:
    """The one version: that of `airloom`."""
    return str(tomllib.loads((root / SOURCE).read_text(encoding="utf-8"))["project"]["version"])


def find_faults(root: Path) -> Iterator[str]:
    """What is not of the version, or without the licence."""
    version = read_version(root)
    remedy = f"{SOURCE} has {version}; run tests/checks/dists_true.py --write"
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"{SOURCE}: version {version!r}; wheels, charts and images take three numbers alike, such as 0.2.0"
    for path, pattern in _list_places(root):
        found = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
        where = path.relative_to(root)
        if not found:
            yield f"{where}: nothing in it is like {pattern}; mend PLACES in tests/checks/dists_true.py"
        yield from (f"{where}: version {other}; {remedy}" for other in found if other != version)
    for path in _list_documents(root):
        others = set(MENTIONS.findall(path.read_text(encoding="utf-8"))) - {version}
        yield from (f"{path.relative_to(root)}: names version {other}; {remedy}" for other in sorted(others))
    licence = (root / LICENCE).read_bytes()
    for dist in DISTS:
        copy = root / dist / LICENCE
        if not copy.is_file() or copy.read_bytes() != licence:
            yield f"{dist}/{LICENCE} is not {LICENCE}; run tests/checks/dists_true.py --write"


def write(root: Path) -> None:
    """Take version and licence to all places but the changelog."""
    version = read_version(root)
    for path, pattern in _list_places(root):
        if path.name != CHANGELOG:
            _replace(path, re.compile(pattern, re.MULTILINE), version)
    for path in _list_documents(root):
        _replace(path, MENTIONS, version)
    for dist in DISTS:
        (root / dist / LICENCE).write_bytes((root / LICENCE).read_bytes())


def _list_places(root: Path) -> Iterator[tuple[Path, str]]:
    for name, patterns in PLACES.items():
        if (root / name).is_file():
            yield from ((root / name, pattern) for pattern in patterns)


def _list_documents(root: Path) -> list[Path]:
    return sorted([*root.glob("docs/*.md"), *root.glob("*/README.md")])


def _replace(path: Path, pattern: re.Pattern[str], version: str) -> None:
    text = path.read_text(encoding="utf-8")
    fresh = pattern.sub(lambda found: found[0].replace(found[1], version), text)
    if fresh != text:
        path.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
