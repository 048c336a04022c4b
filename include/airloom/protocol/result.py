"""What a stage answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from airloom.protocol.version import Document, VersionedDocument


class Artifact(Document):
    """Bytes in the object store."""

    uri: str
    digest: str
    """`sha256:<hex>` of the bytes."""
    size: int = Field(ge=0)
    """Bytes."""


class Verdict(Document):
    """One thing that was checked: an expectation, a scenario, a threshold, a drift."""

    name: str
    passed: bool
    reason: str
    """In words: the value, the limit."""
    value: float | None = None
    limit: float | None = None


class Dataset(Document):
    """A dataset as lineage names it; a model is one too."""

    namespace: str
    name: str
    facets: dict[str, JsonValue] = Field(default_factory=dict)
    """OpenLineage facets by name: version, schema, dataQualityAssertions, …"""


class Failure(Document):
    family: Literal["permanent", "transient"]
    error: str
    """The error's type."""
    message: str


class StageResult(VersionedDocument):
    """What a stage did. Written whole, as the last step, or not there."""

    team: str
    pipeline: str
    stage: str
    run_id: str
    attempt: int
    status: Literal["succeeded", "failed"]
    failure: Failure | None = None
    outputs: dict[str, Artifact] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """What later stages and people need: ids, versions, digests."""
    links: dict[str, str] = Field(default_factory=dict)
    """Title → URI that the web UI links to from the task."""
    lineage_inputs: tuple[Dataset, ...] = ()
    lineage_outputs: tuple[Dataset, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds by phase; `total` is always there."""
    started_at: str
    ended_at: str
    """ISO 8601, UTC."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Python, Airloom and library versions."""
    fingerprint: str | None = None
    """Of the inputs, code and parameters; set where a result may be reused."""
    reused_from: str | None = None
    """URI of the earlier result that this one repeats."""


class ResultPointer(VersionedDocument):
    """The short message that goes back through Airflow (a pod's termination message, or a file)."""

    result_uri: str
    digest: str
    status: Literal["succeeded", "failed"]
    family: Literal["permanent", "transient"] | None = None
    """Of a failure."""
    message: str = Field(default="", max_length=2000)
    """Of a failure: its first words."""

    def to_short_json(self, limit_bytes: int = 4096) -> bytes:
        """As `to_json`, with as much of the message as fits: a pod's termination message holds 4,096 bytes."""
        document, message = self.to_json(), self.message
        while len(document) > limit_bytes and message:
            message = message[: len(message) * 3 // 4]
            document = self.model_copy(update={"message": f"{message}…"}).to_json()
        return document
