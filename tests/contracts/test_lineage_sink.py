"""What every lineage sink must do; run on the file and, by OpenLineage's client, on a server in a receiver's place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import pytest

from airloom.errors import UnavailableError
from airloom.ports import LineageSink
from airloom.protocol import LineageParent, StageContext, StageResult
from airloom.settings import load_settings
from airloom.stages.wiring import EmbeddedPorts

Events = Callable[[], list[dict[str, Any]]]
MOMENT = "2026-01-01T00:00:00+00:00"


class Receiver(ThreadingHTTPServer):
    """Takes events as Marquez does: `POST /api/v1/lineage`, with a key."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                known = (self.path, self.headers["Authorization"]) == ("/api/v1/lineage", "Bearer key")
                if known:
                    received.append(json.loads(body))
                self.send_response(201 if known else 403)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answer)
        self.received = received


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environ() -> Iterator[None]:
    """As it was, afterwards: OpenLineage's client sets variables of its own."""
    with patch.dict(os.environ):
        yield


def open_sink(folder: Path, **variables: str) -> LineageSink:
    return EmbeddedPorts(load_settings({"AIRLOOM_HOME": str(folder), **variables}), folder.as_uri()).lineage_sink


@pytest.fixture(params=["file", "receiver"])
def sink(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> tuple[LineageSink, Events]:
    if request.param == "file":
        path = tmp_path / "lineage.jsonl"
        return open_sink(tmp_path), lambda: [json.loads(line) for line in path.read_text().splitlines()]
    return send_to(receiver, tmp_path), lambda: receiver.received


def send_to(receiver: Receiver, folder: Path, key: str = "key") -> LineageSink:
    variables = {"OPENLINEAGE_URL": f"http://127.0.0.1:{receiver.server_port}", "OPENLINEAGE_API_KEY": key}
    os.environ.update(variables)
    return open_sink(folder, **variables)


def build_context(folder: Path) -> StageContext:
    parent = LineageParent(namespace="airloom", name="ops__p__train.ingest", run_id=PARENT, root_run_id=PARENT)
    told = {"team": "ops", "pipeline": "p", "stage": "ingest", "run_id": "r", "attempt": 1, "spec": {}}
    told |= {"pipeline_uri": folder.as_uri(), "trace_parent": TRACE_PARENT}
    return StageContext.model_validate({**told, "lineage_parent": parent})


PARENT = "01a20ba1-aede-7c32-8f4a-8eb8a103d509"
TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def build_result(context: StageContext) -> StageResult:
    told = context.model_dump(include={"team", "pipeline", "stage", "run_id", "attempt"})
    return StageResult.model_validate({**told, "status": "succeeded", "started_at": MOMENT, "ended_at": MOMENT})


def test_start_and_end_are_told_as_one_run_below_the_airflow_task(
    sink: tuple[LineageSink, Events], tmp_path: Path
) -> None:
    lineage, events = sink
    context = build_context(tmp_path)
    lineage.start(context)
    lineage.end(context, build_result(context))
    start, end = events()
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"]
    assert start["job"] == end["job"]
    assert start["run"]["facets"]["parent"]["run"]["runId"] == PARENT
    assert {event["run"]["facets"]["airloom_run"]["trace_parent"] for event in (start, end)} == {TRACE_PARENT}


def test_a_receiver_that_refuses_is_an_unavailable_error(receiver: Receiver, tmp_path: Path) -> None:
    lineage = send_to(receiver, tmp_path, key="another")
    with pytest.raises(UnavailableError, match=r"lineage could not be sent: .*403"):
        lineage.start(build_context(tmp_path))
    assert receiver.received == []


def test_a_file_that_cannot_be_written_is_an_unavailable_error(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    lineage = open_sink(tmp_path, AIRLOOM_LINEAGE_PATH=str(tmp_path / "a-file" / "lineage.jsonl"))
    with pytest.raises(UnavailableError, match="lineage could not be appended"):
        lineage.start(build_context(tmp_path))
