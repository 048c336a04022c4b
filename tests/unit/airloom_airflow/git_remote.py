"""A git repository for tests, as the remote that bundles follow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class GitRemote:
    """A repository with the branch `main`; pipeline files lie in `pipelines/`.

    Its address is one at which git speaks its protocol, and gives only what a host would give.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()
        folder.mkdir(parents=True)
        self.run("init", "--quiet", "--initial-branch", "main")
        for name, value in (("user.name", "tests"), ("user.email", "tests@localhost"), ("commit.gpgsign", "false")):
            self.run("config", name, value)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: dict[str, str | None]) -> str:
        """Write files below `pipelines/` (None: remove one), commit them; the commit's hash."""
        for name, text in files.items():
            path = self.folder / "pipelines" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if text is None else path.write_text(text)
        self.run("add", "--all")
        self.run("commit", "--quiet", "--message", "a change")
        return self.run("rev-parse", "HEAD")

    def force_back(self, commit: str) -> None:
        """Throw away what came after a commit, and forget it."""
        self.run("reset", "--quiet", "--hard", commit)
        self.run("reflog", "expire", "--expire=now", "--all")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block nothing is at its address."""
        elsewhere = self.folder.with_name(f"{self.folder.name}-away")
        self.folder.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self.folder)
