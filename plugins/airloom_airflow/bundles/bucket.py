"""A local copy of the pipeline files below a bucket's prefix: all of them for the DAG processor, a task's for a task.

`pipelines` calls it. A file is replaced whole. A bucket that is away changes nothing here: the copy stays as it was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from airloom.errors import AirloomError, ConfigError, UnavailableError
from airloom.spec.file_names import is_team, refuse_name
from airloom.spec.loader import DEFAULTS_FILE, MISNAMED_DEFAULTS_FILE
from airloom.spec.ownership import Claim, list_named
from airloom_airflow.bundles.claims import find_claimants, find_named_files, is_pipeline_file
from airloom_airflow.bundles.whole_file import replace_file
from airloom_airflow.objects import list_objects, read_object

_log = logging.getLogger(__name__)


class BucketMirror:
    """Pipeline files and defaults of `uri`, in `folder`.

    Args:
        uri: `s3://bucket/prefix`.
        folder: of the copy; this object's alone.

    Attributes:
        refused: keys of pipeline files that were not copied, since no file can be called so; as of the last `sync`.
    """

    refused: tuple[str, ...] = ()

    def __init__(self, uri: str, folder: Path) -> None:
        self.folder = folder
        self._uri = uri.rstrip("/")
        self._index = folder.with_name(f"{folder.name}.json")

    def sync(self) -> None:
        """Copy what is new or changed, remove what is gone. The caller keeps others from doing so at once.

        Errors:
            UnavailableError: the bucket does not answer.
            ConfigError: it may not be read, or nothing is below the prefix.
        """
        found = {file: tag for file, tag in list_objects(f"{self._uri}/").items() if _is_ours(file)}
        if not found:
            raise ConfigError(
                f"no pipeline file is below {self._uri}, so the pipelines stay as they were. "
                "Put them there, or mend the bundle's `pipelines`."
            )
        self.refused = tuple(file for file in found if refuse_name(file) is not None)
        for file in self.refused:
            del found[file]
        known = self._read_index()
        changed = [file for file, tag in found.items() if known.get(file) != tag or not (self.folder / file).is_file()]
        for file in self._fetch_listed(changed):
            del found[file]
        for file in known.keys() - found.keys():
            self._remove(file)
        replace_file(self._index, json.dumps(found).encode())

    def fetch(self, claim: Claim) -> None:
        """Copy what a task of this pipeline needs: its file and the defaults behind it.

        A file named after its pipeline takes one request, and each file of defaults another; only where there is none
        is the team's folder listed and copied. Where the bucket is away, an earlier copy serves.
        """
        try:
            self._fetch_or_remove(list_named(claim)[:1])
            self._fetch_or_remove((DEFAULTS_FILE, f"{claim.team}/{DEFAULTS_FILE}"))  # its team may be theirs
            if not find_named_files(self.folder, claim):
                self._fetch_or_remove(list_named(claim)[1:])
            if not find_named_files(self.folder, claim):
                self._fetch_team(claim.team)
        except AirloomError as error:
            if not find_claimants(self.folder, claim):
                raise
            _log.warning("Pipeline %s is taken as it was when it was last read: %s", claim, error)

    def _fetch_team(self, team: str) -> None:
        for folder in (f"{team}/", ""):
            listed = (f"{folder}{file}" for file in list_objects(f"{self._uri}/{folder}", recursive=False))
            files = [file for file in listed if is_pipeline_file(file) and refuse_name(file) is None]
            for file in self._fetch_listed(files):
                self._remove(file)

    def _fetch_listed(self, files: Iterable[str]) -> list[str]:
        """Copy objects that the bucket listed just now. What it gives: those that are gone since.

        Errors:
            UnavailableError: it goes on listing one that it says is not there, which is no deletion.
        """
        absent = [file for file in files if not self._fetch(file)]
        gone = [file for file in absent if not self._is_listed(file)]
        for file in absent:
            if file not in gone and not self._fetch(file):  # removed and put there again, or else a contradiction
                raise UnavailableError(
                    f"the bucket lists {self._uri}/{file}, and says that it is not there when it is read. "
                    "Where this goes on, put the object there anew, or remove it."
                )
        return gone

    def _is_listed(self, file: str) -> bool:
        return "" in list_objects(f"{self._uri}/{quote(file)}", recursive=False)

    def _fetch_or_remove(self, files: Iterable[str]) -> None:
        for file in files:
            if not self._fetch(file):
                self._remove(file)

    def _fetch(self, file: str) -> bool:
        """Copy one object; False where there is none, which leaves its copy as it is."""
        text = read_object(f"{self._uri}/{quote(file)}")
        if text is not None:
            replace_file(self.folder / file, text)
        return text is not None

    def _remove(self, file: str) -> None:
        (self.folder / file).unlink(missing_ok=True)

    def _read_index(self) -> dict[str, str]:
        try:
            found = json.loads(self._index.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _is_ours(file: str) -> bool:
    return is_pipeline_file(file) or _is_defaults(PurePosixPath(file))


def _is_defaults(path: PurePosixPath) -> bool:
    """Of the root or of a team; also under the name that is refused where pipelines are loaded."""
    names = (DEFAULTS_FILE, MISNAMED_DEFAULTS_FILE)
    return path.name in names and (len(path.parts) == 1 or (len(path.parts) == 2 and is_team(path.parts[0])))
