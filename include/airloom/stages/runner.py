"""What all stages share: reads the context, reuses an earlier result or runs the stage, publishes the result.

The order of the last steps is the contract: outputs, then the attempt's result, then the published result (in one
step, and over no later attempt's), then the pointer, then exit 0. Killed anywhere before that step, nothing was
published. An object store that goes away under a stage is waited for; one that is away at its start fails it at once.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import airloom
from airloom.errors import AirloomError, PermanentError, ProtocolError, TransientError
from airloom.protocol import Failure, ResultPointer, StageContext, StageResult
from airloom.protocol.context import run_folder
from airloom.protocol.launch import CONTEXT_VARIABLE, EXIT_PERMANENT, EXIT_TRANSIENT
from airloom.protocol.section import TOKEN_VARIABLE, end_line
from airloom.settings import Settings, load_settings
from airloom.spec.pipeline import Pipeline
from airloom.stages import STAGE_NAMES
from airloom.stages.patience import PatientObjectStore
from airloom.stages.publication import publish_result, require_newest
from airloom.stages.secrets import Redactor
from airloom.stages.stage import Stage, StageOutcome, StageTask
from airloom.stages.wiring import EmbeddedPorts, open_object_store
from airloom.telemetry import switch_off

_TEXTS = ("verdicts", "facts", "links", "lineage_inputs", "lineage_outputs")
"""A result's fields that hold texts of the stage's; a failure's message is masked where it is made."""

log = logging.getLogger("airloom.stages")


def main(argv: Sequence[str]) -> int:
    """Run one stage as the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m airloom.stages", description=__doc__)
    parser.add_argument("stage", choices=STAGE_NAMES)
    parser.add_argument("--context", type=Path, help=f"file with the StageContext; left out: {CONTEXT_VARIABLE}")
    parser.add_argument("--pointer", type=Path, required=True, help="file to write the ResultPointer to")
    arguments = parser.parse_args(argv)
    token = os.environ.pop(TOKEN_VARIABLE, "")
    switch_off(os.environ)
    redactor = Redactor(os.environ)
    sys.stdout = redactor.stream(sys.stdout)
    sys.stderr = redactor.stream(sys.stderr)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
    pointer_text = b""
    status = EXIT_PERMANENT
    try:
        context = StageContext.from_json(_read_context(arguments.context))
        if context.stage != arguments.stage:
            raise ProtocolError(f"the context is of stage {context.stage!r}, and stage {arguments.stage!r} was started")
        pointer = StageRun(context, load_settings(), redactor).execute()
        pointer_text = pointer.to_short_json()
        arguments.pointer.write_bytes(pointer_text)
        if pointer.status == "succeeded":
            status = 0
        else:
            status = EXIT_PERMANENT if pointer.family == "permanent" else EXIT_TRANSIENT
    except AirloomError as error:  # there is no result document to tell it in
        print(redactor.redact(f"{type(error).__name__}: {error}"), file=sys.stderr)
        status = EXIT_TRANSIENT if isinstance(error, TransientError) else EXIT_PERMANENT
    finally:
        for stream in (sys.stdout, sys.stderr):
            getattr(stream, "close_pending", stream.flush)()
    if token:
        print(end_line(token, arguments.stage, status, pointer_text.decode().strip()), flush=True)
    return status


def _read_context(file: Path | None) -> bytes:
    """The context's JSON. A pod has it in a variable, which the stage's own code does not see."""
    text = os.environ.pop(CONTEXT_VARIABLE, "")
    if file is not None:
        return file.read_bytes()
    if not text:
        raise ProtocolError(f"a stage needs its context: give --context, or {CONTEXT_VARIABLE}")
    return text.encode()


@dataclass
class StageRun:
    """One execution of one stage."""

    context: StageContext
    settings: Settings
    redactor: Redactor

    def execute(self) -> ResultPointer:
        """Run the stage, or reuse its earlier result; publish.

        Errors:
            AirloomError: the result could not be written, or the context could not be used.
        """
        context = self.context
        pipeline = Pipeline.model_validate(context.spec)
        store = open_object_store(context.pipeline_uri)
        require_newest(store, context)
        inputs = {
            name: StageResult.from_json(store.read(uri)) for name, uri in context.inputs.items() if store.exists(uri)
        }
        store = PatientObjectStore(store, self.settings.store_seconds)
        ports = EmbeddedPorts(self.settings, context.pipeline_uri, store)
        stage = load_stage(context.stage)
        started = time.time()
        clock = time.perf_counter()
        outcome = StageOutcome()
        failure: Failure | None = None
        fingerprint: str | None = None
        reused: StageResult | None = None
        work = 0.0
        sink = ports.lineage_sink
        with tempfile.TemporaryDirectory(prefix=f"airloom-{context.stage}-") as folder:
            task = StageTask(context, pipeline, inputs, ports, self.settings, Path(folder))
            sink.start(StageContext.from_json(self._mask(context.to_json(), ("spec", "params"))))
            try:
                if stage.identity is not None and pipeline.spec.cache:
                    fingerprint = build_fingerprint(task, stage, stage.identity(task))
                    reused = self._find_earlier(ports, fingerprint)
                if reused is None:
                    begun = time.perf_counter()
                    try:
                        stage.run(task, outcome)
                    finally:
                        work = time.perf_counter() - begun
            except Exception as error:
                failure = self._failure(error)
        if reused is not None:
            log.info("nothing has changed: reusing the result of run %s", reused.run_id)
            result = reused.model_copy(
                update={
                    "run_id": context.run_id,
                    "attempt": context.attempt,
                    "reused_from": reused.reused_from or _attempt_uri(reused, context),
                    "started_at": _iso(started),
                    "ended_at": _iso(time.time()),
                    "timings": {"work": work, "total": time.perf_counter() - clock},
                }
            )
        else:
            result = StageResult(
                team=context.team,
                pipeline=context.pipeline,
                stage=context.stage,
                run_id=context.run_id,
                attempt=context.attempt,
                status="failed" if failure else "succeeded",
                failure=failure,
                outputs=outcome.outputs,
                metrics=outcome.metrics,
                verdicts=tuple(outcome.verdicts),
                facts=outcome.facts,
                links=outcome.links,
                lineage_inputs=tuple(outcome.lineage_inputs),
                lineage_outputs=tuple(outcome.lineage_outputs),
                timings={"work": work, "total": time.perf_counter() - clock},
                started_at=_iso(started),
                ended_at=_iso(time.time()),
                environment=_environment(),
                fingerprint=fingerprint,
            )
        return self._publish(ports, result)

    def _publish(self, ports: EmbeddedPorts, result: StageResult) -> ResultPointer:
        store = ports.object_store
        result = StageResult.from_json(self._mask(result.to_json(), _TEXTS))
        document = result.to_json()
        store.write(f"{self.context.output_uri}/result.json", document)
        require_newest(store, self.context)
        ports.lineage_sink.end(self.context, result)
        if result.status == "succeeded" and result.fingerprint and not result.reused_from:
            store.write(self._cache_uri(result.fingerprint), document)
        artifact = publish_result(store, self.context, document)
        return ResultPointer(
            result_uri=artifact.uri,
            digest=artifact.digest,
            status=result.status,
            family=result.failure.family if result.failure else None,
            message=result.failure.message[:2000] if result.failure else "",
        )

    def _mask(self, document: bytes, fields: Iterable[str]) -> str:
        """A document whose fields of those names hold no secret. The others are what later stages go by."""
        found = json.loads(document)
        masked = {name: self.redactor.redact_texts(found[name]) for name in fields if name in found}
        return json.dumps({**found, **masked})

    def _find_earlier(self, ports: EmbeddedPorts, fingerprint: str) -> StageResult | None:
        store = ports.object_store
        uri = self._cache_uri(fingerprint)
        if not store.exists(uri):
            return None
        result = StageResult.from_json(store.read(uri))
        return result if all(store.exists(artifact.uri) for artifact in result.outputs.values()) else None

    def _cache_uri(self, fingerprint: str) -> str:
        return f"{self.context.pipeline_uri}/cache/{self.context.stage}/{fingerprint}.json"

    def _failure(self, error: Exception) -> Failure:
        message = self.redactor.redact(str(error)) or type(error).__name__
        if isinstance(error, AirloomError):
            log.error("%s: %s", type(error).__name__, message)
        else:
            print(self.redactor.redact(traceback.format_exc()), file=sys.stderr)
        return Failure(
            family="permanent" if isinstance(error, PermanentError) else "transient",
            error=type(error).__name__,
            message=message,
        )


def load_stage(name: str) -> Stage:
    """The stage of that name, from its module."""
    stage = importlib.import_module(f"airloom.stages.{name}").STAGE
    assert isinstance(stage, Stage)
    return stage


def build_fingerprint(task: StageTask, stage: Stage, identity: str) -> str:
    """Hex SHA-256 of all that the stage's result depends on: inputs, code, parameters, and its own `identity`."""
    spec = task.context.spec["spec"]
    assert isinstance(spec, dict)
    parts = {
        "airloom": airloom.__version__,
        "stage": task.context.stage,
        "code": _digest_code(),
        "sections": {name: spec.get(name) for name in stage.reads},
        "inputs": {
            name: sorted((key, artifact.digest) for key, artifact in result.outputs.items())
            for name, result in task.inputs.items()
        },
        "identity": identity,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _digest_code() -> str:
    """Of Airloom's own source: a stage leans on modules beside its own, and all of it is read in milliseconds."""
    digest = hashlib.sha256()
    for path in sorted(Path(airloom.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _attempt_uri(result: StageResult, context: StageContext) -> str:
    return f"{context.pipeline_uri}/runs/{run_folder(result.run_id)}/{result.stage}/{result.attempt}/result.json"


def _environment() -> dict[str, str]:
    libraries = ("scikit-learn", "mlflow", "feast", "great-expectations", "evidently", "duckdb", "pandas", "numpy")
    found = {name: metadata.version(name) for name in libraries if _is_installed(name)}
    return {"python": platform.python_version(), "airloom": airloom.__version__, **found}


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
