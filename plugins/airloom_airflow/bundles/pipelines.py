"""The DAG bundle: watches the folder of pipeline files and keeps one small DAG file for each.

The DAG processor calls `refresh`; a task calls only `initialize`, whose cost does not depend on how many pipelines
there are. One file a pipeline makes the processor parse them in parallel, and one bad file one import error.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from airloom.errors import ConfigError, SpecError
from airloom.settings import load_settings
from airloom.spec.document import parse_document
from airloom_airflow.bundles.stub import JANITOR, Stub, build_stub

_log = logging.getLogger(__name__)
_SUFFIXES = (".yaml", ".yml")
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Seen:
    """What is remembered of a pipeline file between two refreshes."""

    stamp: _Stamp
    digest: str
    name: tuple[str, str] | None


class PipelineDagBundle(BaseDagBundle):
    """`<team>/<pipeline>.yaml` below the folder of pipeline files → `<team>/<pipeline>.yaml.py` in the bundle.

    Args:
        pipelines: the folder; left out, `AIRLOOM_PIPELINES`.
        kwargs: Airflow's own: name, refresh_interval (seconds), …

    Errors:
        ConfigError: on refresh, the folder is not there; the DAGs stay as they are.
    """

    supports_versioning = False

    def __init__(self, *, pipelines: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        settings = load_settings()
        self._root = Path(pipelines) if pipelines else settings.pipelines
        self._environment = settings.environment
        self._has_janitor = settings.runtime == "kubernetes"
        self._seen: dict[Path, _Seen] = {}
        self._written: dict[Path, tuple[str, ...]] = {}

    @property
    def path(self) -> Path:
        return self.base_dir / "dags"

    def get_current_version(self) -> None:
        return None

    def initialize(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        super().initialize()

    def refresh(self) -> None:
        """Bring the DAG files up to date; touches only those whose pipeline or defaults changed."""
        if not self._root.is_dir():
            raise ConfigError(
                f"the folder of pipeline files {self._root} is not there. Make it, or set AIRLOOM_PIPELINES."
            )
        with self.lock():
            self._look()
            twins = self._find_twins()
            defaults = {folder: self._digest_defaults(folder) for folder in {path.parent for path in self._seen}}
            for path, seen in list(self._seen.items()):
                key = (seen.digest, defaults[path.parent], *twins.get(path, ()))
                if self._written.get(path) != key:
                    self._write(path, defaults[path.parent], twins.get(path, ()))
                    self._written[path] = key
            if self._has_janitor:
                _write_changed(self._janitor_path, JANITOR.encode())
            self._remove_orphans()

    @property
    def _janitor_path(self) -> Path:
        return self.path / "airloom_janitor.py"

    def _look(self) -> None:
        """Learn which pipeline files there are; read those that changed."""
        found: dict[Path, _Seen] = {}
        for path, stamp in _list_pipeline_files(self._root):
            seen = self._seen.get(path)
            if seen is None or seen.stamp != stamp:
                text = _read(path)
                seen = _Seen(stamp, hashlib.sha256(text).hexdigest(), _find_name(path, text))
            found[path] = seen
        self._seen = found
        self._written = {path: key for path, key in self._written.items() if path in found}

    def _find_twins(self) -> dict[Path, tuple[str, ...]]:
        """Files that claim a team and name that another claims too → the others."""
        owners: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
        for path, seen in self._seen.items():
            if seen.name is not None:
                owners[seen.name].append(path)
        return {
            path: tuple(sorted(str(other) for other in paths if other != path))
            for paths in owners.values()
            if len(paths) > 1
            for path in paths
        }

    def _digest_defaults(self, folder: Path) -> str:
        digest = hashlib.sha256()
        for path in {self._root, folder}:
            for suffix in _SUFFIXES:
                content = _read(path / f"defaults{suffix}")
                digest.update(b"%d:%s" % (len(content), content))
        return digest.hexdigest()[:16]

    def _stub_path(self, path: Path) -> Path:
        relative = path.relative_to(self._root)
        return self.path / relative.parent / f"{relative.name}.py"

    def _write(self, path: Path, defaults: str, twins: tuple[str, ...]) -> None:
        target = self._stub_path(path)
        text = build_stub(Stub(path, self._root, _read(path), defaults, self._environment, twins)).encode()
        if _write_changed(target, text):
            _log.info("Pipeline file %s was taken up", path)

    def _remove_orphans(self) -> None:
        wanted = {self._stub_path(path) for path in self._seen}
        if self._has_janitor:
            wanted.add(self._janitor_path)
        for path in (*self.path.glob("*.py"), *self.path.glob("*/*.py")):
            if path not in wanted:
                path.unlink(missing_ok=True)
                _log.info("The DAG file %s went with its pipeline file", path)


def _list_pipeline_files(root: Path) -> Iterator[tuple[Path, _Stamp]]:
    """Every `*.yaml` in the folder and in its folders, but defaults; sorted, hidden names left out."""
    folders = [root, *sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))]
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = Path(entry.name)
                if name.suffix not in _SUFFIXES or name.stem == "defaults" or entry.name.startswith("."):
                    continue
                try:
                    status = entry.stat()
                except FileNotFoundError:  # removed while we look
                    continue
                yield Path(entry.path), (status.st_mtime_ns, status.st_size, status.st_ino)


def _write_changed(target: Path, text: bytes) -> bool:
    """Write a DAG file whole; False, and nothing is touched, where it is so already."""
    if _read(target) == text:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_bytes(text)
    fresh.replace(target)
    return True


def _read(path: Path) -> bytes:
    """The file's bytes; none where it cannot be read (building its DAGs will then say why)."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _find_name(path: Path, text: bytes) -> tuple[str, str] | None:
    """(team, name) that a file claims, as far as it can be told without the loader."""
    try:
        metadata = parse_document(text, str(path)).data["metadata"]
        return str(metadata.get("team", path.parent.name)), str(metadata["name"])
    except (SpecError, LookupError, TypeError, AttributeError):
        return None
