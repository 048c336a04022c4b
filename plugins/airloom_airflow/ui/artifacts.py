"""Read-only view of the object store in the Airflow web server: data docs, drift reports, manifests.

The plugin mounts `build_app()` at `/airloom`; a task's links point there (`operators.artifact_link`). Airflow leaves a
plugin's routes open to all: the login is required here.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, Response

from airloom.errors import AirloomError
from airloom.settings import load_settings
from airloom_airflow.objects import read_object
from airloom_airflow.speedups.web_login import get_user

_ABSENT = "There is no such artifact."
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


def get_artifact(path: str) -> Response:
    """One object of the store.

    Errors (HTTP):
        401, 403: not logged in, or with a token that is not valid.
        404: no such object below the store's root.
        503: the store does not answer.
    """
    suffix = PurePosixPath(path).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    artifacts_uri = load_settings().artifacts_uri
    root = find_local_root(artifacts_uri)
    if root is not None:
        if file := find_file(root, path):
            return FileResponse(file, media_type=kind, headers=_HEADERS)
        raise HTTPException(404, _ABSENT)
    try:
        content = None if ".." in path.split("/") else read_object(f"{artifacts_uri}/{quote(path)}")
    except AirloomError as error:
        raise HTTPException(503, "The object store does not answer.") from error
    if content is None:
        raise HTTPException(404, _ABSENT)
    return Response(content, media_type=kind, headers=_HEADERS)


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
