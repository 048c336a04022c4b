"""The DAG bundle of a folder of pipeline files: from an image or a volume, or a bucket's prefix, kept in step.

The DAG processor calls `refresh`, where something changed. A task calls only `initialize`, in whose process Airflow has
said which DAG it is for: that one's DAG file is made then and there, so that a worker needs no disk in common with the
DAG processor, and pays the same however many pipelines there are. Everybody else's `initialize` makes two folders.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.sdk import get_parsing_context

from airloom.errors import AirloomError, ConfigError
from airloom.settings import load_settings
from airloom_airflow.bundles.bucket import BucketMirror
from airloom_airflow.bundles.claims import split_dag_id
from airloom_airflow.bundles.dag_files import DagFiles

_ANYWAY_SECONDS = 600
"""Between two refreshes at most: they mend what a hand, or another DAG processor, did to the DAGs meanwhile."""


class PipelineDagBundle(BaseDagBundle):
    """`<team>/<pipeline>.yaml` below the folder of pipeline files → `<team>/<pipeline>.yaml.py` in the bundle.

    Args:
        pipelines: the folder, or `s3://bucket/prefix`; left out, `AIRLOOM_PIPELINES`.
        kwargs: Airflow's own: name, refresh_interval (seconds, between two looks for changes), …

    Errors:
        ConfigError: on refresh, there is no such folder or prefix; the DAGs stay as they are.
        UnavailableError: on refresh, the bucket does not answer; the DAGs stay as they are.
    """

    supports_versioning = False

    def __init__(self, *, pipelines: str | None = None, **kwargs: Any) -> None:
        self._looked_at, self._refreshed_at = -math.inf, -math.inf
        super().__init__(**kwargs)
        settings = load_settings()
        in_bucket = pipelines is not None and pipelines.startswith("s3://")
        self._bucket = BucketMirror(str(pipelines), self.base_dir / "bucket") if in_bucket else None
        self._root = self._bucket.folder if self._bucket else Path(pipelines or settings.pipelines)
        if not self._root.is_absolute():
            raise ConfigError(f"the bundle's pipelines is {pipelines!r}; give an absolute path or s3://bucket/prefix.")
        self._files = DagFiles(self.base_dir, self.name, settings.environment, settings.runtime == "kubernetes")

    @property
    def path(self) -> Path:
        return self._files.path

    @property
    def refresh_interval(self) -> int:
        """Seconds that a refresh is to be younger than for there to be none: Airflow's DAG processor asks before each.

        At every refresh Airflow goes through all files and all DAGs that there are, so there is none while nothing
        changed. That takes a look at the files' metadata, as often as the interval that was given.
        """
        if self._refreshed_at == -math.inf:
            return self._interval
        now = time.monotonic()
        if now - self._looked_at < self._interval:
            return sys.maxsize
        self._looked_at = now
        return 0 if now - self._refreshed_at >= _ANYWAY_SECONDS or not self._is_current() else sys.maxsize

    @refresh_interval.setter
    def refresh_interval(self, seconds: int) -> None:
        self._interval = seconds

    def get_current_version(self) -> None:
        return None

    def fetch_pipelines(self) -> Path:
        """The folder of pipeline files, a bucket's as a copy; `airloom doctor` reads them. Makes no DAG files."""
        if self._bucket:
            with self.lock():
                self._bucket.sync()
        return self._root

    def initialize(self) -> None:
        wanted = get_parsing_context().dag_id
        claim = split_dag_id(wanted) if wanted else None
        if self._bucket and claim:
            self._bucket.fetch(claim)
        self._files.open(self._root, wanted)
        super().initialize()

    def refresh(self) -> None:
        """Bring the DAG files up to date; touches only those whose pipeline or defaults changed."""
        from airloom_airflow.bundles.dag_processor import prepare_dag_processor  # no task needs it

        prepare_dag_processor()
        with self.lock():
            if self._bucket:
                self._bucket.sync()
            if not self._root.is_dir():
                raise ConfigError(
                    f"the folder of pipeline files {self._root} is not there. Make it, or set AIRLOOM_PIPELINES."
                )
            self._files.refresh(self._root, self._refused)
        self._looked_at = self._refreshed_at = time.monotonic()

    @property
    def _refused(self) -> Iterable[str]:
        return self._bucket.refused if self._bucket else ()

    def _is_current(self) -> bool:
        """Whether a refresh would find all as it is; False too where it would say what is wrong."""
        try:
            with self.lock():
                if self._bucket:
                    self._bucket.sync()
                return self._files.is_current(self._root, self._refused)
        except (AirloomError, OSError):
            return False
