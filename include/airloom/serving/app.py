"""The gateway's HTTP side: the Open Inference Protocol v2 over a catalogue of models. Made by `gateway.py`.

Every refusal is `{"error": …}`. A request's body is read here, with a limit; the work is done in a pool of threads.
"""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from airloom import __version__
from airloom.errors import PermanentError, UnavailableError
from airloom.ports.prediction_log import MODEL_VERSION, RECEIVED_AT, REQUEST_ID
from airloom.prediction import ordered_types
from airloom.serving import schemas
from airloom.serving.catalogue import ModelCatalogue, ServedModel
from airloom.serving.inference import infer, output_tensors
from airloom.serving.metrics import GatewayMetrics
from airloom.serving.page import render_page
from airloom.serving.prediction_writer import PredictionWriter
from airloom.serving.tensors import RequestError, read_request

MOST_BYTES = 16 << 20
_THREADS = 8
_UNKNOWN = "unknown"

log = logging.getLogger("airloom.serving")

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.ErrorAnswer, "description": "The request is wrong; the field is named"},
    404: {"model": schemas.ErrorAnswer, "description": "No such model, or not this version of it"},
    413: {"model": schemas.ErrorAnswer, "description": "The body is too large"},
    422: {"model": schemas.ErrorAnswer, "description": "The model refuses these rows"},
    500: {"model": schemas.ErrorAnswer, "description": "A fault of ours; the error names the request's id in the log"},
    503: {"model": schemas.ErrorAnswer, "description": "The feature store or the registry does not answer"},
}
_MISSING: dict[int | str, dict[str, Any]] = {404: _REFUSALS[404]}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}},
    }
}


def build_app(catalogue: ModelCatalogue, writer: PredictionWriter, metrics: GatewayMetrics) -> FastAPI:
    """The application; its start and stop are the catalogue's and the writer's."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        writer.start()
        catalogue.start()
        try:
            yield
        finally:
            catalogue.stop()
            await anyio.to_thread.run_sync(writer.stop)

    app = FastAPI(
        title="Airloom gateway",
        version=__version__,
        description="Serves champions by the Open Inference Protocol v2. One input tensor a feature, one value a row.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestError, _refuse_request)
    app.add_exception_handler(Exception, _refuse_fault)
    _add_health(app, catalogue, writer)
    _add_models(app, catalogue)
    _add_inference(app, Inferring(catalogue, writer, metrics))
    _add_pages(app, metrics)
    return app


class Inferring:
    """What happens to one inference request, from its body to its answer."""

    def __init__(self, catalogue: ModelCatalogue, writer: PredictionWriter, metrics: GatewayMetrics) -> None:
        self._catalogue = catalogue
        self._writer = writer
        self._metrics = metrics

    async def handle(self, request: Request, name: str, version: str | None) -> Response:
        clock = time.perf_counter()
        served = self._catalogue.find(name)
        try:
            model = _require(self._catalogue, name, version)
            served = model
            body = await _read_body(request)
            answer = await anyio.to_thread.run_sync(self._answer, model, body)
            response = Response(answer, media_type="application/json")
        except RequestError as error:
            response = _refuse(error.status, str(error))
        except Exception:
            response = _fault()
        labels = (served.name, served.version) if served else (_UNKNOWN, "")
        self._metrics.requests.labels(*labels, str(response.status_code)).inc()
        self._metrics.seconds.labels(labels[0]).observe(time.perf_counter() - clock)
        return response

    def _answer(self, model: ServedModel, body: bytes) -> bytes:
        received = datetime.now(UTC)
        request = read_request(body)
        identity = request.id or uuid.uuid4().hex
        inference = infer(model, request)
        document = {
            "model_name": model.name,
            "model_version": model.version,
            "id": identity,
            "outputs": inference.outputs,
        }
        answer = json.dumps(document, allow_nan=False, ensure_ascii=True).encode()
        stamps = {RECEIVED_AT: received, REQUEST_ID: identity, MODEL_VERSION: model.version}
        rows = {**inference.logged, **stamps}
        self._writer.add(model.name, model.version, model.stores.prediction_log, rows, request.rows)
        self._metrics.rows.labels(model.name, model.version).inc(request.rows)
        return answer


def _add_health(app: FastAPI, catalogue: ModelCatalogue, writer: PredictionWriter) -> None:
    @app.get("/v2", response_model=schemas.ServerMetadata, tags=["server"])
    async def server() -> Any:
        """What this server is."""
        return {"name": "airloom", "version": __version__, "extensions": ["model_repository"]}

    @app.get("/v2/health/live", response_model=schemas.Live, tags=["server"])
    async def live() -> Any:
        """The process is up."""
        return {"live": True}

    @app.get(
        "/v2/health/ready",
        response_model=schemas.Ready,
        tags=["server"],
        responses={503: {"model": schemas.Ready, "description": "The registry has not answered yet"}},
    )
    async def ready() -> Any:
        """The registry was seen, and its champions are served. What is away since is told."""
        document = {
            "ready": catalogue.known,
            "registry": catalogue.trouble or "answers",
            "prediction_log": writer.trouble or "written",
            "models": {model.name: model.version for model in catalogue.list()},
        }
        return JSONResponse(document, 200 if catalogue.known else 503)


def _add_models(app: FastAPI, catalogue: ModelCatalogue) -> None:
    @app.get("/v2/models", response_model=schemas.ModelList, tags=["models"])
    async def models() -> Any:
        """All models that are served."""
        return {"models": [_ready(model) for model in catalogue.list()]}

    @app.post("/v2/repository/index", response_model=list[schemas.RepositoryEntry], tags=["models"])
    async def index() -> Any:
        """All models that are served, as the protocol's repository extension has them."""
        return [
            {"name": model.name, "version": model.version, "state": "READY", "reason": ""} for model in catalogue.list()
        ]

    @app.post(
        "/v2/repository/models/{model_name}/load",
        response_model=schemas.ModelReady,
        tags=["models"],
        responses={404: _REFUSALS[404], 500: _REFUSALS[500], 503: _REFUSALS[503]},
    )
    def load(model_name: str) -> Any:
        """Serve the registry's champion now, rather than within a second."""
        try:
            model = catalogue.load(model_name)
        except UnavailableError as error:
            raise RequestError(f"{model_name} was not loaded: {error}", status=503) from error
        except PermanentError as error:
            raise RequestError(f"{model_name} was not loaded: {error}", status=500) from error
        if model is None:
            raise RequestError(f"the registry has no champion of {model_name!r}; promote a version", status=404)
        return _ready(model)

    _both(app, "", schemas.ModelMetadata, lambda name, version: _describe(_require(catalogue, name, version)))
    _both(app, "/ready", schemas.ModelReady, lambda name, version: _ready(_require(catalogue, name, version)))


def _both(app: FastAPI, suffix: str, model: type, answer: Callable[[str, str | None], Any]) -> None:
    """An endpoint of a model, and the same of a version of it."""
    route = functools.partial(app.get, response_model=model, tags=["models"], responses=_MISSING)
    what = "Whether it is served" if suffix else "What it takes and answers"

    @route(f"/v2/models/{{model_name}}{suffix}", description=f"{what}.")
    async def of_model(model_name: str) -> Any:
        return answer(model_name, None)

    @route(f"/v2/models/{{model_name}}/versions/{{model_version}}{suffix}", description=f"{what}, of this version.")
    async def of_version(model_name: str, model_version: str) -> Any:
        return answer(model_name, model_version)


def _add_inference(app: FastAPI, inferring: Inferring) -> None:
    post = functools.partial(
        app.post, response_model=schemas.InferResponse, tags=["inference"], responses=_REFUSALS, openapi_extra=_BODY
    )

    @post("/v2/models/{model_name}/infer")
    async def infer_model(model_name: str, request: Request) -> Any:
        """Ask the champion. Features that are left out are looked up by their view's entity."""
        return await inferring.handle(request, model_name, None)

    @post("/v2/models/{model_name}/versions/{model_version}/infer")
    async def infer_version(model_name: str, model_version: str, request: Request) -> Any:
        """Ask this version, while it is the champion."""
        return await inferring.handle(request, model_name, model_version)


def _add_pages(app: FastAPI, metrics: GatewayMetrics) -> None:
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = describe()
            asked = schemas.InferRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = document["components"]["schemas"]
            parts |= asked.pop("$defs")
            parts["InferRequest"] = asked
            for unused in ("HTTPValidationError", "ValidationError"):
                parts.pop(unused, None)
            for methods in document["paths"].values():
                for operation in methods.values():
                    answers = operation["responses"]
                    if "HTTPValidationError" in json.dumps(answers.get("422", "")):
                        del answers["422"]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(render_page(app.openapi()))

    @app.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _require(catalogue: ModelCatalogue, name: str, version: str | None) -> ServedModel:
    model = catalogue.find(name)
    if model is None:
        served = ", ".join(known.name for known in catalogue.list()) or "none yet"
        raise RequestError(f"model {name[:200]!r} is not served; there are: {served}", status=404)
    if version is not None and version != model.version:
        raise RequestError(
            f"{name} version {version[:200]!r} is not served; its champion is {model.version}", status=404
        )
    return model


def _ready(model: ServedModel) -> dict[str, Any]:
    return {"name": model.name, "version": model.version, "ready": True}


def _describe(model: ServedModel) -> dict[str, Any]:
    kinds = {"number": "FP64", "text": "BYTES"}
    metadata = model.metadata
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "scikit-learn",
        "inputs": [
            {"name": name, "datatype": kinds[kind], "shape": [-1]} for name, kind in ordered_types(metadata).items()
        ],
        "outputs": output_tensors(metadata),
        "parameters": {key: metadata.get(key) for key in ("key", "timestamp", "target", "task", "classes", "views")},
    }


async def _read_body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RequestError(f"the body is larger than {MOST_BYTES} bytes; ask for fewer rows at once", status=413)
        parts.append(part)
    return b"".join(parts)


def _refuse(status: int, message: str) -> JSONResponse:
    # A body that is not read to its end leaves nothing to read the next request from.
    headers = {"Connection": "close"} if status == 413 else None
    return JSONResponse({"error": message}, status, headers)


def _fault() -> JSONResponse:
    """To be called where an exception is handled: logs it, and answers with the id that the log has."""
    identity = uuid.uuid4().hex[:12]
    log.exception("request %s failed", identity)
    return _refuse(500, f"internal error {identity}; the gateway's log has more")


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _refuse(error.status_code, f"{request.method} {request.url.path[:200]}: {error.detail}")


async def _refuse_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _refuse(error.status, str(error))


async def _refuse_fault(request: Request, error: Exception) -> Response:
    identity = uuid.uuid4().hex[:12]
    log.error("request %s failed", identity, exc_info=error)
    return _refuse(500, f"internal error {identity}; the gateway's log has more")
