"""Is every requirement locked, with hashes, at a version that it allows? `make check` runs it; it needs no network."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OWN = {"airloom", "airloom-airflow"}
LOCKS = {
    "requirements.txt": (
        "include/pyproject.toml",
        "plugins/pyproject.toml",
        "plugins/pyproject.toml[statsd]",
        "plugins/pyproject.toml[postgres]",
    ),
    "docker/stage-cpu/requirements.txt": ("include/pyproject.toml[embedded]", "docker/stage-cpu/requirements.in"),
    "docker/stage-gpu/requirements.txt": ("include/pyproject.toml[embedded]", "docker/stage-gpu/requirements.in"),
    "docker/serve/requirements.txt": (
        "include/pyproject.toml[serving]",
        "include/pyproject.toml[feast]",
        "include/pyproject.toml[scikit-learn]",
        "include/pyproject.toml[s3]",
        "docker/serve/requirements.in",
    ),
    "tests/requirements-airflow.txt": ("tests/requirements.in",),
    "tests/requirements-stages.txt": ("tests/requirements.in",),
    "tests/bench/requirements.txt": ("tests/bench/requirements.in",),
    "tests/executors/requirements.txt": (
        "include/pyproject.toml",
        "plugins/pyproject.toml[celery]",
        "plugins/pyproject.toml[postgres]",
        "plugins/pyproject.toml[amazon]",
    ),
    "tests/images/stage-trivial/requirements.txt": ("include/pyproject.toml",),
    **{
        f"tests/airflow_versions/airflow-{version}.txt": (
            "include/pyproject.toml",
            "plugins/pyproject.toml",
            "plugins/pyproject.toml[statsd]",
            "tests/airflow_versions/requirements.in",
            f"tests/airflow_versions/airflow-{version}.in",
        )
        for version in ("3.1", "3.2")
    },
}
"""Lock → what it must satisfy."""
BESIDE = {
    "tests/requirements-airflow.txt": "requirements.txt",
    "tests/requirements-stages.txt": "docker/stage-cpu/requirements.txt",
}
"""A lock that is installed over another, and may leave to it what it has."""


def main() -> int:
    """Print what is not locked; 1 if anything."""
    faults = list(find_faults(ROOT))
    print("\n".join(faults) or f"{len(LOCKS)} locks hold every requirement")
    if faults:
        print("Make the locks again (`uv pip compile --generate-hashes`, Python 3.11) and commit them.")
    return 1 if faults else 0


def find_faults(root: Path) -> Iterator[str]:
    """What the locks under a root lack."""
    for lock, origins in LOCKS.items():
        pins, faults = read_lock((root / lock).read_text(encoding="utf-8"))
        yield from (f"{lock}: {fault}" for fault in faults)
        if lock in BESIDE:
            pins = {**read_lock((root / BESIDE[lock]).read_text(encoding="utf-8"))[0], **pins}
        for origin in origins:
            for requirement in load_requirements(root, origin):
                version = pins.get(canonicalize_name(requirement.name))
                if version is None:
                    yield f"{lock}: {requirement} of {origin} is not in it"
                elif not requirement.specifier.contains(version, prereleases=True):
                    yield f"{lock}: {requirement.name}=={version} is not what {origin} asks for: {requirement}"


def read_lock(text: str) -> tuple[dict[str, str], list[str]]:
    """Package → version, and the lines that pin nothing or have no hash."""
    pins: dict[str, str] = {}
    faults: list[str] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        entry = line.partition(" #")[0].strip()
        if not entry or entry.startswith("#"):
            continue
        pinned = re.match(r"([A-Za-z0-9._-]+)(\[[^]]*\])?==([^\s;]+)", entry)
        if pinned is None:
            faults.append(f"{entry[:60]!r} pins no version")
        else:
            pins[canonicalize_name(pinned[1])] = pinned[3]
            if "--hash=sha256:" not in entry:
                faults.append(f"{pinned[0]} has no hash")
    return pins, faults


def load_requirements(root: Path, origin: str) -> Iterator[Requirement]:
    """The requirements of a project (`pyproject.toml`, with `[extra]`) or of a list, Airloom's own left out."""
    name, _, extra = origin.partition("[")
    path = root / name
    if path.suffix == ".toml":
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        lines = [*project.get("dependencies", ())]
        if extra:
            lines += project["optional-dependencies"][extra.rstrip("]")]
    else:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    for line in filter(None, lines):
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) in OWN:
            for other in requirement.extras:
                yield from load_requirements(root, f"include/pyproject.toml[{other}]")
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement


if __name__ == "__main__":
    sys.exit(main())
