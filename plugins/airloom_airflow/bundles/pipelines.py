"""The DAG bundle of a folder of pipeline files: from an image or a volume, or a bucket's prefix, kept in step.

The DAG processor calls `refresh`. A task calls only `initialize`, in whose process Airflow has said which DAG it is
for: that one's DAG file is made then and there, so that a worker needs no disk in common with the DAG processor, and
pays the same however many pipelines there are. Everybody else's `initialize` makes two folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.sdk import get_parsing_context

from airloom.errors import ConfigError
from airloom.settings import load_settings
from airloom_airflow.bundles.bucket import BucketMirror
from airloom_airflow.bundles.claims import split_dag_id
from airloom_airflow.bundles.dag_files import DagFiles


class PipelineDagBundle(BaseDagBundle):
    """`<team>/<pipeline>.yaml` below the folder of pipeline files → `<team>/<pipeline>.yaml.py` in the bundle.

    Args:
        pipelines: the folder, or `s3://bucket/prefix`; left out, `AIRLOOM_PIPELINES`.
        kwargs: Airflow's own: name, refresh_interval (seconds), …

    Errors:
        ConfigError: on refresh, there is no such folder or prefix; the DAGs stay as they are.
        UnavailableError: on refresh, the bucket does not answer; the DAGs stay as they are.
    """

    supports_versioning = False

    def __init__(self, *, pipelines: str | None = None, **kwargs: Any) -> None:
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

    def get_current_version(self) -> None:
        return None

    def initialize(self) -> None:
        wanted = get_parsing_context().dag_id
        claim = split_dag_id(wanted) if wanted else None
        if self._bucket and claim:
            self._bucket.fetch(claim)
        self._files.open(self._root, wanted)
        super().initialize()

    def refresh(self) -> None:
        """Bring the DAG files up to date; touches only those whose pipeline or defaults changed."""
        with self.lock():
            if self._bucket:
                self._bucket.sync()
            if not self._root.is_dir():
                raise ConfigError(
                    f"the folder of pipeline files {self._root} is not there. Make it, or set AIRLOOM_PIPELINES."
                )
            self._files.refresh(self._root, self._bucket.refused if self._bucket else ())
