"""Read-only view of the local object store in the Airflow web server: data docs, drift reports, manifests.

The plugin mounts `build_app()` at `/airloom`; a task's links point there (`operators.artifact_link`). Airflow leaves a
plugin's routes open to all: the login is required here. Not for buckets, which have addresses of their own.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from airloom.settings import load_settings

_HEADERS = {
    # A report is made by a stage from users' data: it may run its own scripts, but not as the logged-in user.
    "Content-Security-Policy": "sandbox allow-scripts allow-popups allow-downloads",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".parquet": "application/vnd.apache.parquet",
}


def build_app() -> FastAPI:
    """The app; every one of its routes requires Airflow's login, by header or by the browser's cookie."""
    app = FastAPI(title="Airloom", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.get("/artifacts/{path:path}")(get_artifact)
    return app


def get_artifact(path: str) -> FileResponse:
    """One file of the object store.

    Errors (HTTP):
        401, 403: not logged in, or with a token that is not valid.
        404: no such file below the object store's root, or the object store is a bucket.
    """
    root = find_local_root(load_settings().artifacts_uri)
    file = None if root is None else find_file(root, path)
    if file is None:
        raise HTTPException(404, "There is no such artifact.")
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return FileResponse(file, media_type=kind, headers=_HEADERS)


def find_local_root(artifacts_uri: str) -> Path | None:
    """The folder behind a `file:` object store; None for a bucket."""
    parts = urlsplit(artifacts_uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def find_file(root: Path, path: str) -> Path | None:
    """The regular file at `path` below `root`; None where there is none, or a `..` or a link leads out of it."""
    try:
        real_root = root.resolve(strict=True)
        file = (real_root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # not there, a NUL byte, a loop of links
        return None
    return file if file.is_relative_to(real_root) and file.is_file() else None
