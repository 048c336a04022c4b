"""One small DAG file for each pipeline file: all of them for the DAG processor, one for a task.

The bundles call it, each for the folder of pipeline files that it brings. Below its own folder, `dags/` holds the DAG
files and `pipelines`, a link, says where the pipeline files lie on this machine, so that no DAG file need. One file a
pipeline makes the DAG processor parse them in parallel, and one bad file one import error.

Several tasks and the DAG processor may work on one disk at once: a file is there whole or not at all, a task adds what
it needs and changes nothing that it finds, and the DAG processor removes only what no pipeline file stands behind.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airloom.spec.file_names import refuse_name, show_name
from airloom.spec.file_reading import is_folder
from airloom.spec.loader import DEFAULTS_FILE, MISNAMED_DEFAULTS_FILE
from airloom.spec.ownership import Claim, choose_owner
from airloom_airflow.bundles.claims import (
    Stamp,
    find_claimants,
    list_pipeline_files,
    read_bytes,
    read_claim,
    split_dag_id,
)
from airloom_airflow.bundles.records import load_families, load_owners
from airloom_airflow.bundles.stub import JANITOR, MARK, Stub, build_refusal, build_stub, build_stub_name
from airloom_airflow.bundles.whole_file import replace_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """What is remembered of a pipeline file between two refreshes; `defaults` are behind its claim too."""

    stamp: Stamp
    defaults: str
    digest: str
    claim: Claim | None


class DagFiles:
    """The DAG files of one folder of pipeline files.

    Args:
        home: where they lie, in `dags/`.
        bundle_name: of the bundle that they are of.
        environment: the overlay that applies.
        has_janitor: whether the DAG that takes away pods is among them.
    """

    def __init__(self, home: Path, bundle_name: str, environment: str | None, has_janitor: bool) -> None:
        self.path = home / "dags"
        self._bundle_name = bundle_name
        self._environment = environment
        self._has_janitor = has_janitor
        self._seen: dict[str, _Seen] = {}
        self._written: dict[str, tuple[str, ...]] = {}
        self._owners: dict[Claim, str] | None = None
        self._defaults: dict[str, str] = {}
        self._refused: set[str] = set()

    def open(self, root: Path, dag_id: str | None) -> None:
        """Make ready what does not depend on how many pipelines there are, and for a task the file of its DAG.

        Args:
            root: the folder of pipeline files, absolute.
            dag_id: the task's DAG; None for those who want none.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        _point(self.path.parent / "pipelines", root)
        if self._has_janitor:
            _write_changed(self._janitor_path, JANITOR.encode())
        claim = None if dag_id is None else split_dag_id(dag_id)
        if claim is not None:
            for file in find_claimants(root, claim):  # Airflow says which of them the task's DAG is from
                if not _read_own(self._stub_path(file)).startswith(MARK.encode()):
                    self._write(root, file, _digest_defaults(root, file), None)

    def refresh(self, root: Path, refused: Iterable[str] = ()) -> None:
        """Bring all DAG files up to date; touches only those whose pipeline or defaults changed.

        Args:
            root: the folder of pipeline files, absolute.
            refused: files that are not there, since their names are refused.
        """
        self.open(root, None)
        refused = self._refused = {*refused, *self._look(root)}
        owners = self._choose_owners()
        for file, seen in self._seen.items():
            owner = file if seen.claim is None else owners[seen.claim]
            key = (seen.digest, seen.defaults, owner)
            if self._written.get(file) != key:
                self._write(root, file, seen.defaults, None if owner == file else owner)
                self._written[file] = key
        for file in refused:
            self._write_refusal(root, file)
        self._remove_orphans(root, refused)

    def is_current(self, root: Path, refused: Iterable[str] = ()) -> bool:
        """Whether no pipeline file or defaults changed since the last refresh; reads no pipeline file.

        Args:
            root: as of `refresh`.
            refused: as of `refresh`.

        Errors:
            OSError: the folder is not there, or may not be read.
        """
        stamps = dict(list_pipeline_files(root))
        refused = {*refused, *(file for file in stamps if file not in self._seen and refuse_name(file) is not None)}
        stamps = {file: stamp for file, stamp in stamps.items() if file not in refused}
        return (
            stamps == {file: seen.stamp for file, seen in self._seen.items()}
            and refused == self._refused
            and self._defaults == _digest_all_defaults(root, stamps)
        )

    @property
    def _janitor_path(self) -> Path:
        return self.path / "airloom_janitor.py"

    def _look(self, root: Path) -> list[str]:
        """Learn which pipeline files there are, and read those that changed, or whose defaults did.

        Those whose names are refused are what it gives.
        """
        stamps = dict(list_pipeline_files(root))
        refused = [file for file in stamps if file not in self._seen and refuse_name(file) is not None]
        for file in refused:
            del stamps[file]
        self._defaults = _digest_all_defaults(root, stamps)
        found: dict[str, _Seen] = {}
        for file, stamp in stamps.items():
            seen, defaults = self._seen.get(file), self._defaults[str(Path(file).parent)]
            if seen is None or (seen.stamp, seen.defaults) != (stamp, defaults):
                text = read_bytes(root, file)
                seen = _Seen(stamp, defaults, hashlib.sha256(text).hexdigest(), read_claim(root, file, text))
            found[file] = seen
        self._seen = found
        self._written = {file: key for file, key in self._written.items() if file in found}
        return refused

    def _choose_owners(self) -> dict[Claim, str]:
        """Pipeline → the file that has its DAGs. Says which pipelines are gone."""
        before = load_owners(self._bundle_name) if self._owners is None else self._owners
        claimants: defaultdict[Claim, list[str]] = defaultdict(list)
        for file, seen in self._seen.items():
            if seen.claim is not None:
                claimants[seen.claim].append(file)
        for claim, file in before.items():
            if file in self._seen and self._seen[file].claim is None:
                claimants[claim].append(file)  # cannot be read just now: a copy of it does not get its DAGs for that
            if claim not in claimants:
                self._say_gone(claim, file)
        owners = {claim: choose_owner(claim, files, before.get(claim)) for claim, files in claimants.items()}
        self._owners = owners
        return owners

    def _say_gone(self, claim: Claim, file: str) -> None:
        if "promote" not in load_families(self._bundle_name, claim):
            _log.info("Pipeline %s is gone: no file claims it any more; it was %s", claim, file)
            return
        _log.warning(
            "Pipeline %s is gone: no file claims it any more; it was %s. Its model %s stays as it was last promoted "
            "and deployed: it is served on, and nothing monitors it, trains it anew or rolls it back. Put the file "
            "back, or take the model out of service.",
            claim,
            file,
            claim,
        )

    def _stub_path(self, file: str) -> Path:
        return self.path / build_stub_name(file)

    def _write(self, root: Path, file: str, defaults: str, owner: str | None) -> None:
        stub = Stub(file, read_bytes(root, file), defaults, self._environment, owner)
        if _write_changed(self._stub_path(file), build_stub(stub).encode()):
            _log.info("Wrote the DAG file of pipeline file %s", root / file)

    def _write_refusal(self, root: Path, file: str) -> None:
        shown, message = str(root / show_name(file)), refuse_name(file)
        if _write_changed(self._stub_path(file), build_refusal(shown, str(message)).encode()):
            _log.error("Pipeline file %s makes no DAGs: %s", shown, message)

    def _remove_orphans(self, root: Path, refused: Iterable[str]) -> None:
        others = {self._stub_path(file) for file in refused} | ({self._janitor_path} if self._has_janitor else set())
        for path in (*self.path.glob("*.py"), *self.path.glob("*/*.py")):
            file = path.relative_to(self.path).as_posix().removesuffix(".py")
            if file in self._seen or path in others or path.is_dir():
                continue
            if is_folder(root / file) or not os.path.lexists(root / file):  # it may be back since, for a task
                path.unlink(missing_ok=True)
                _log.info("Removed the DAG file %s: its pipeline file is gone", path)


def find_root(dags: Path) -> Path:
    """The folder of pipeline files behind a folder of DAG files, as it was given."""
    return (dags.parent / "pipelines").readlink()


def _point(link: Path, root: Path) -> None:
    if link.is_symlink() and link.readlink() == root:
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fresh.symlink_to(root, target_is_directory=True)
    fresh.replace(link)


def _digest_all_defaults(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Folder of pipeline files → digest of the defaults behind them."""
    one_each = {str(Path(file).parent): file for file in files}
    return {folder: _digest_defaults(root, file) for folder, file in one_each.items()}


def _digest_defaults(root: Path, file: str) -> str:
    digest = hashlib.sha256()
    for folder in dict.fromkeys((Path(), Path(file).parent)):
        content = read_bytes(root, str(folder / DEFAULTS_FILE))
        digest.update(b"%d:%s" % (len(content), content))
        if os.path.lexists(
            root / folder / MISNAMED_DEFAULTS_FILE
        ):  # a fault of every pipeline file that it lies behind
            digest.update(MISNAMED_DEFAULTS_FILE.encode())
    return digest.hexdigest()[:16]


def _write_changed(target: Path, text: bytes) -> bool:
    """Write a DAG file whole; False, and nothing is touched, where it is so already."""
    if _read_own(target) == text:
        return False
    replace_file(target, text)
    return True


def _read_own(target: Path) -> bytes:
    """A DAG file as it lies there; none where there is none."""
    try:
        return target.read_bytes()
    except OSError:
        return b""
