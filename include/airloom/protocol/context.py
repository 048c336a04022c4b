"""What a stage is told."""

from __future__ import annotations

import hashlib
import json
import re

from pydantic import Field, JsonValue

from airloom.protocol.version import Document, VersionedDocument


class LineageParent(Document):
    """The OpenLineage run that this stage is a child of, and the root run above it."""

    namespace: str
    name: str
    run_id: str
    root_namespace: str | None = None
    root_name: str | None = None
    root_run_id: str | None = None

    def to_openlineage_context(self) -> str:
        """In the form that OpenLineage's integrations (dbt, Spark) read from `OPENLINEAGE_CONTEXT`."""
        own = {"run": {"runId": self.run_id}, "job": {"namespace": self.namespace, "name": self.name}}
        root = {
            "run": {"runId": self.root_run_id or self.run_id},
            "job": {"namespace": self.root_namespace or self.namespace, "name": self.root_name or self.name},
        }
        return json.dumps({"parent": {**own, "root": root}})


class StageContext(VersionedDocument):
    """One stage of one run. Everything a stage may know; it reads no clock but for its timings."""

    team: str
    pipeline: str
    stage: str
    run_id: str
    """The Airflow run's id, or the local run's; the same for all stages of a run."""
    attempt: int = Field(ge=1)
    spec: dict[str, JsonValue]
    """The pipeline file, resolved (`airloom.spec.Pipeline` as JSON)."""
    pipeline_uri: str
    """Prefix of everything of this pipeline: `<artifacts>/<team>/<pipeline>`."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Earlier stages of this run → URI of their published results."""
    params: dict[str, JsonValue] = Field(default_factory=dict)
    """What this run was started with, such as {"version": "3"} for a promotion. What of it changes the pipeline is
    in `spec` already."""
    data_interval_end: str | None = None
    """ISO 8601; the end of the schedule's interval, where there is one."""
    window_end: str | None = None
    """ISO 8601 with a time zone: rows from then on are not this run's. None: all that are there now."""
    backfill: bool = False
    """The run makes up for a past interval: what it finds starts nothing that is live."""
    lineage_parent: LineageParent | None = None
    trace_parent: str | None = None
    """W3C traceparent."""

    def build_environ(self) -> dict[str, str]:
        """Whose child the stage's lineage and traces are, for whatever the stage's own code starts: OpenLineage's
        integrations read `OPENLINEAGE_CONTEXT`, OpenTelemetry's `TRACEPARENT`."""
        environ = {}
        if self.lineage_parent is not None:
            environ["OPENLINEAGE_CONTEXT"] = self.lineage_parent.to_openlineage_context()
        if self.trace_parent is not None:
            environ["TRACEPARENT"] = self.trace_parent
        return environ

    @property
    def window_asked(self) -> bool:
        """Whether `window_end` is what somebody asked for, not only the time at which a schedule started the run."""
        return self.backfill or "window_end" in self.params

    @property
    def run_uri(self) -> str:
        return f"{self.pipeline_uri}/runs/{run_folder(self.run_id)}"

    @property
    def output_uri(self) -> str:
        """Prefix that this attempt writes under."""
        return f"{self.run_uri}/{self.stage}/{self.attempt}"

    @property
    def result_uri(self) -> str:
        """Where the stage's result is published by one atomic last step."""
        return result_uri(self.run_uri, self.stage)


class StageStep(Document):
    """A later stage of a group, by what it is told beside the first."""

    stage: str
    inputs: dict[str, str] = Field(default_factory=dict)
    lineage_parent: LineageParent | None = None


class StageGroup(VersionedDocument):
    """Consecutive stages of one run that share a pod (`execution: fused`); each is told as if it were alone."""

    first: StageContext
    rest: tuple[StageStep, ...] = ()

    def contexts(self) -> tuple[StageContext, ...]:
        """What each stage is told, in their order."""
        later = (self.first.model_copy(update=dict(step)) for step in self.rest)
        return (self.first, *later)


def result_uri(run_uri: str, stage: str) -> str:
    """Where a stage of a run publishes its result."""
    return f"{run_uri}/{stage}/result.json"


def run_folder(run_id: str) -> str:
    """A run id as one folder name: characters that a path or a URI could misread become `_`.

    Where that changes the id, a digest of the whole is added, so that two runs never share a folder.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", run_id).lstrip(".")
    return plain if plain == run_id else f"{plain[:120]}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
