"""Read-only view of the object store in the Airflow web server: data docs, drift reports, manifests.

The plugin mounts `build_app()` at `/airloom`; a task's links point there (`operators.artifact_link`). Airflow leaves a
plugin's routes open to all: the login is required here, and so is the right to read a DAG of the object's pipeline.
Objects are passed on in pieces, for the web server's memory is everybody's.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import quote, unquote, urlencode, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models import DagModel
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from airloom.errors import AirloomError
from airloom.settings import load_settings
from airloom.spec.plan import FAMILIES, build_dag_id
from airloom_airflow.objects import NoSuchRangeError, open_object

UNOWNED = "airloom__artifacts"
"""Stands for the DAG of objects that are no pipeline's. There is none of that name: who may read it may read every DAG,
whatever the auth manager; to be asked without a name means to some of them "may read any"."""
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
_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")


async def require_login(request: Request, user: Annotated[BaseUser, Depends(get_user)]) -> BaseUser:
    """Who asks, by Airflow's own header or cookie."""
    request.state.airloom_user = user
    return user


def build_app() -> FastAPI:
    """The app; every one of its routes requires Airflow's login."""
    app = FastAPI(
        title="Airloom", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(require_login)]
    )
    app.add_exception_handler(AnyHTTPException, _send_to_login)
    app.api_route("/artifacts/{path:path}", methods=["GET", "HEAD"])(get_artifact)
    return app


def get_artifact(path: str, request: Request, user: Annotated[BaseUser, Depends(require_login)]) -> Response:
    """One object of the store, or the part of it that the header Range names.

    Errors (HTTP):
        401: not logged in, or 403: with a token that is not valid; a browser is sent to the login instead.
        403: the user may read no DAG of the object's pipeline, or not every DAG where it is no pipeline's.
        404: no such object below the store's root.
        416: the object has no such part.
        503: the store does not answer.
    """
    # FastAPI runs this in a thread: the auth manager, the store and Airflow's database may all take a while.
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise HTTPException(404, _ABSENT)
    if not may_read(path, user):
        raise HTTPException(403, "You may read no DAG of the pipeline that this artifact belongs to.")
    suffix = PurePosixPath(path).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    artifacts_uri = load_settings().artifacts_uri
    root = find_local_root(artifacts_uri)
    if root is None:
        return _get_from_bucket(f"{artifacts_uri}/{quote(path)}", kind, request)
    if file := find_file(root, path):
        return FileResponse(file, media_type=kind, headers=_HEADERS)
    raise HTTPException(404, _ABSENT)


def may_read(path: str, user: BaseUser) -> bool:
    """Whether a user may read the object at `path` below the store's root.

    An object at `<team>/<pipeline>/…` is for those who may read one of that pipeline's DAGs, any other for those who
    may read all DAGs. Whether there is such an object, or pipeline, plays no part.
    """
    pipeline = find_pipeline(path)
    dag_ids = [UNOWNED] if pipeline is None else [build_dag_id(*pipeline, family) for family in FAMILIES]
    manager = get_auth_manager()
    return any(
        manager.is_authorized_dag(
            method="GET", details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)), user=user
        )
        for dag_id in dag_ids
    )


def find_pipeline(path: str) -> tuple[str, str] | None:
    """Team and name of the pipeline that an object below the store's root belongs to; None: to none."""
    team, _, rest = path.partition("/")
    name, _, inside = rest.partition("/")
    return (team, name) if inside and _NAME.fullmatch(team) and _NAME.fullmatch(name) else None


def find_local_root(artifacts_uri: str) -> Path | None:
    """The folder behind a `file:` object store; None for a bucket."""
    parts = urlsplit(artifacts_uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def find_file(root: Path, path: str) -> Path | None:
    """The regular file at `path` below `root`; None where there is none, or a link leads out of it or to another
    pipeline's."""
    try:
        real_root = root.resolve(strict=True)
        file = (real_root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # not there, a NUL byte, a loop of links
        return None
    if not file.is_relative_to(real_root) or not file.is_file():
        return None
    return file if find_pipeline(file.relative_to(real_root).as_posix()) == find_pipeline(path) else None


def _get_from_bucket(uri: str, kind: str, request: Request) -> Response:
    wanted = request.headers.get("range", "")
    byte_range = wanted if _ONE_RANGE.fullmatch(wanted) else None  # of others all is sent, as HTTP allows
    try:
        found = open_object(uri, byte_range, with_content=request.method != "HEAD")
    except NoSuchRangeError as error:
        raise HTTPException(416, "The artifact has no such part.") from error
    except AirloomError as error:
        raise HTTPException(503, "The object store does not answer.") from error
    if found is None:
        raise HTTPException(404, _ABSENT)
    headers = {**_HEADERS, "Accept-Ranges": "bytes", "Content-Length": str(found.size)}
    if found.content_range is not None:
        headers["Content-Range"] = found.content_range
    chunks: Iterator[bytes] = found.chunks
    return StreamingResponse(chunks, 206 if found.content_range else 200, media_type=kind, headers=headers)


async def _send_to_login(request: Request, error: Exception) -> Response:
    """A browser whose user is not logged in goes to the login, and comes back from there."""
    assert isinstance(error, AnyHTTPException)
    browses = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    logged_in = hasattr(request.state, "airloom_user")
    if error.status_code not in (401, 403) or logged_in or not browses or "authorization" in request.headers:
        return await http_exception_handler(request, error)
    there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{get_auth_manager().get_url_login()}?{urlencode({'next': there})}", 303)
