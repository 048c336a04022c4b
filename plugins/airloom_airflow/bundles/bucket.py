"""A local copy of the pipeline files below a bucket's prefix: all of them for the DAG processor, a task's for a task.

`pipelines` calls it. A file is replaced whole. A bucket that is away changes nothing here: the copy stays as it was.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path, PurePosixPath

from airloom.errors import AirloomError, ConfigError
from airloom.spec.file_names import is_team, refuse_name
from airloom.spec.loader import DEFAULTS_FILE, MISNAMED_DEFAULTS_FILE
from airloom_airflow.bundles.claims import Claim, find_claimants, find_named_files, is_pipeline_file, list_named
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
        for file, tag in found.items():
            if known.get(file) != tag or not (self.folder / file).is_file():
                self._fetch(file)
        for file in list(known):
            if file not in found:
                (self.folder / file).unlink(missing_ok=True)
        replace_file(self._index, json.dumps(found).encode())

    def fetch(self, claim: Claim) -> None:
        """Copy what a task of this pipeline needs: its file and the defaults behind it.

        A file named after its pipeline takes one request, and each file of defaults another; only where there is none
        is the team's folder listed and copied. Where the bucket is away, an earlier copy serves.
        """
        try:
            for file in list_named(claim)[:1]:
                self._fetch(file)
            if not find_named_files(self.folder, claim):
                for file in list_named(claim)[1:]:
                    self._fetch(file)
            for defaults in (DEFAULTS_FILE, f"{claim.team}/{DEFAULTS_FILE}"):
                self._fetch(defaults)
            if not find_named_files(self.folder, claim):
                self._fetch_team(claim.team)
        except AirloomError as error:
            if not find_claimants(self.folder, claim):
                raise
            _log.warning("Pipeline %s is taken as it was when it was last read: %s", claim, error)

    def _fetch_team(self, team: str) -> None:
        for prefix in (f"{team}/", ""):
            for file in list_objects(f"{self._uri}/{prefix}", recursive=False):
                if is_pipeline_file(f"{prefix}{file}") and refuse_name(f"{prefix}{file}") is None:
                    self._fetch(f"{prefix}{file}")

    def _fetch(self, file: str) -> None:
        """Copy one object, or remove the copy of one that is gone."""
        text = read_object(f"{self._uri}/{file}")
        path = self.folder / file
        if text is None:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, text)

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
