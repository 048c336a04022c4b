"""A file that is there whole or not at all, whoever reads or writes it meanwhile. `dag_files` and `bucket` call it."""

from __future__ import annotations

import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that every user may read, in one last step; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".airloom-", delete=False) as fresh:
        fresh.write(content)
    whole = Path(fresh.name)
    whole.chmod(0o644)  # tasks may run as another user
    whole.replace(path)
