"""The DAG bundle of pipeline files in a git repository, with versions: Airflow's own git bundle brings the files.

Airflow's configuration names `airloom_airflow.bundles.git.GitPipelineDagBundle`. A branch or tag is followed; a run
keeps the commit that it started with, for its later tasks and when it is cleared. Credentials are the connection's.
Not here: cloning and fetching (`apache-airflow-providers-git`), what becomes of the files (`dag_files`).
"""

from __future__ import annotations

import logging
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.providers.git.bundles.git import GitDagBundle
from airflow.sdk import get_parsing_context
from git import GitCommandError, Repo

from airloom.errors import ConfigError, UnavailableError
from airloom.settings import load_settings
from airloom.spec.file_reading import lies_in
from airloom_airflow.bundles.dag_files import DagFiles

if TYPE_CHECKING:
    from airflow.dag_processing.bundles.base import BundleVersion

_log = logging.getLogger(__name__)


class GitPipelineDagBundle(BaseDagBundle):
    """`<subdir>/<team>/<pipeline>.yaml` in the repository → `<team>/<pipeline>.yaml.py` in the bundle.

    Args:
        tracking_ref: the branch or tag that is followed.
        subdir: the folder of pipeline files in the repository; left out, the repository is that folder.
        git_conn_id: Airflow connection with the repository's address and credentials.
        repo_url: the address, where the connection does not give it.
        kwargs: Airflow's own: name, version, refresh_interval (seconds), view_url_template, …

    Errors:
        UnavailableError: on refresh, the remote does not answer; the DAGs stay as they are.
        ConfigError: the repository has no such folder, or no longer the commit that a run started with.
    """

    supports_versioning = True

    def __init__(
        self,
        *,
        tracking_ref: str,
        subdir: str | None = None,
        git_conn_id: str | None = None,
        repo_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.subdir = subdir
        self._repository = GitDagBundle(
            tracking_ref=tracking_ref, subdir=subdir, git_conn_id=git_conn_id, repo_url=repo_url, **kwargs
        )
        settings = load_settings()
        # a version's DAG files lie in its checkout, and go with it when Airflow removes versions that nobody uses; no
        # commit can hold a folder called after its own hash, so nobody but we wrote what is there
        home = self._repository.repo_path / f".airloom-{self.version}" if self.version else self.base_dir / "airloom"
        self._files = DagFiles(home, self.name, settings.environment, settings.runtime == "kubernetes")

    @property
    def path(self) -> Path:
        return self._files.path

    def get_current_version(self) -> str | BundleVersion | None:
        return self._repository.get_current_version()

    def view_url_template(self) -> str | None:
        return self._repository.view_url_template()

    def fetch_pipelines(self) -> Path:
        """The folder of pipeline files, checked out here; `airloom doctor` reads them. Makes no DAG files."""
        self._check_out()
        return self._require_folder()

    def initialize(self) -> None:
        """Bring the commit here, and make the DAG file of the task that this process is for.

        A version that no task is named for is wanted by callbacks, which may be of any DAG: all its files are made,
        once on a disk.
        """
        self._check_out()
        root = self._require_folder()
        wanted = get_parsing_context().dag_id
        self._files.open(root, wanted)
        if self.version and wanted is None:
            whole = self.path.parent / "whole"
            with self.lock():
                if not whole.exists():
                    self._files.refresh(root)
                    whole.touch()
        super().initialize()

    def refresh(self) -> None:
        """Follow the branch or tag; touches only the DAG files whose pipeline or defaults changed."""
        from airloom_airflow.bundles.dag_processor import prepare_dag_processor  # no task needs it

        prepare_dag_processor()
        with self.lock():
            self._remove_stale_locks()
        try:
            self._repository.refresh()
        except GitCommandError as error:
            raise UnavailableError(
                f"the git remote of bundle {self.name} does not answer or refuses, so its pipelines stay as they were: "
                f"{error.stderr or error}"
            ) from error
        with self.lock():
            self._files.refresh(self._require_folder())

    def _require_folder(self) -> Path:
        root = self._repository.path
        if not root.is_dir():
            raise ConfigError(
                f"the repository of bundle {self.name} has no folder {self.subdir!r} there. Make it, or mend `subdir`."
            )
        if not lies_in(self._repository.repo_path, root):
            raise ConfigError(
                f"{self.subdir!r} in the repository of bundle {self.name} is a link that leads out of the repository, "
                "so nothing in it is read. Put the folder itself there, or mend `subdir`."
            )
        return root.absolute()

    def _check_out(self) -> None:
        """Have Airflow's own bundle make the checkout; beforehand, what it would stumble over is put right."""
        with self.lock():
            self._remove_stale_locks()
            if not self._clone_from_disk():
                self._require_remote()
        try:
            self._repository.initialize()
        except Exception:
            if not self.version or not self._fetch_by_hash():
                raise
            self._repository.initialize()

    def _remove_stale_locks(self) -> None:
        """Those of a git that was killed in its work: who has the bundle's lock is alone at it on this disk."""
        for git in (self._repository.bare_repo_path, self._repository.repo_path / ".git"):
            for lock in (*git.glob("*.lock"), *(git / "refs").rglob("*.lock")):
                _log.warning("Removing %s, which a git left that was ended in its work", lock)
                lock.unlink(missing_ok=True)

    def _clone_from_disk(self) -> bool:
        """Whether the run's commit is checked out here, now or before: without the remote, where the disk has it."""
        bare, place = self._repository.bare_repo_path, self._repository.repo_path
        partial = any(getattr(self._repository, name, None) for name in ("submodules", "sparse_dirs"))  # not in 3.1
        if place.exists() or not self.version or partial:
            return place.exists() and bool(self.version)
        if not bare.is_dir() or not _has_commit(bare, self.version):
            return False
        part = place.with_name(f"{place.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        with Repo.clone_from(str(bare), str(part), no_checkout=True) as repo:
            repo.git.checkout("--detach", self.version)
        part.replace(place)
        return True

    def _require_remote(self) -> None:
        """Before Airflow's bundle fetches: where that fails, it deletes the disk's clone, with all that only it has.

        Errors:
            UnavailableError: the remote does not answer, or refuses.
        """
        bare, hook = self._repository.bare_repo_path, self._repository.hook
        if not bare.is_dir():
            return
        with Repo(bare) as repo, hook.configure_hook_env() if hook else nullcontext():
            try:
                with repo.git.custom_environment(**(hook.env if hook else {})):
                    repo.git.ls_remote("origin", "HEAD")
            except GitCommandError as error:
                raise UnavailableError(
                    f"the git remote of bundle {self.name} does not answer or refuses, and this disk does not have the "
                    f"commit: {error.stderr or error}"
                ) from error

    def _fetch_by_hash(self) -> bool:
        """A commit that no branch reaches any more, after a forced push, fetched by its hash; False: not needed.

        Remotes give it until they throw away what no branch reaches, which most do after weeks or never.
        """
        bare, hook = self._repository.bare_repo_path, self._repository.hook
        if not bare.is_dir():
            return False
        if _has_commit(bare, str(self.version)):
            return False
        _log.warning("Commit %s is on no branch or tag any more; fetching it by its hash", self.version)
        with self.lock(), Repo(bare) as repo, hook.configure_hook_env() if hook else nullcontext():
            try:
                with repo.git.custom_environment(**(hook.env if hook else {})):
                    repo.git.fetch("origin", f"+{self.version}:refs/airloom/{self.version}")
            except GitCommandError as error:
                raise ConfigError(
                    f"the repository of bundle {self.name} no longer gives commit {self.version}, which this run "
                    f"started with: {error.stderr or error}. Push a tag to that commit, or clear the run with the "
                    "newest version."
                ) from error
        return True


def _has_commit(repository: Path, version: str) -> bool:
    with Repo(repository) as repo:
        try:
            repo.git.cat_file("-e", f"{version}^{{commit}}")
        except GitCommandError:
            return False
    return True
