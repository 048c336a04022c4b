"""What a stage is: a function from a task to an outcome, and what the runner must know to reuse its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from airloom.errors import ProtocolError
from airloom.ports import Ports
from airloom.protocol import Artifact, Dataset, StageContext, StageResult, Verdict
from airloom.settings import Settings
from airloom.spec.pipeline import Pipeline


@dataclass(frozen=True)
class StageTask:
    """What a stage works on.

    Attributes:
        context: as Airflow sent it.
        pipeline: the context's spec, parsed.
        inputs: results of this run's earlier stages, by stage.
        ports: what the stage may ask for.
        settings: where the installation keeps things.
        folder: empty scratch folder, removed afterwards.
    """

    context: StageContext
    pipeline: Pipeline
    inputs: Mapping[str, StageResult]
    ports: Ports
    settings: Settings
    folder: Path

    def uri(self, name: str) -> str:
        """Where this attempt writes the output `name`."""
        return f"{self.context.output_uri}/{name}"

    def require_input(self, stage: str) -> StageResult:
        """An earlier stage's result.

        Errors:
            ProtocolError: this run has no such result.
        """
        if stage not in self.inputs:
            raise ProtocolError(
                f"stage {self.context.stage} needs the result of {stage}, and run {self.context.run_id} has "
                f"{sorted(self.inputs) or 'none'}. Run {stage} first."
            )
        return self.inputs[stage]


@dataclass
class StageOutcome:
    """What a stage fills in as it goes. What is in it when the stage raises is kept in the failed result.

    Attributes: as in `airloom.protocol.StageResult`.
    """

    outputs: dict[str, Artifact] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    lineage_inputs: list[Dataset] = field(default_factory=list)
    lineage_outputs: list[Dataset] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """A stage as the runner sees it.

    Attributes:
        run: does the work; raises an `AirloomError` to fail.
        reads: sections of the spec that its result depends on.
        identity: where the result may be reused: what it depends on beside its sections and inputs (the content
            of sources, the user's code). None: the stage has effects, or depends on the world, and is never reused.
    """

    run: Callable[[StageTask, StageOutcome], None]
    reads: tuple[str, ...]
    identity: Callable[[StageTask], str] | None = None
