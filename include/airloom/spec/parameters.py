"""What a run may be started with, family by family, and the pipeline as that run sees it. Pure.

The DAG factories make Airflow's trigger forms of it, the operators and `airloom run` check what a run was given by
`apply_parameters`. A parameter takes effect by replacing what the pipeline file says, so that whatever depends on
the file (a stage's fingerprint, lineage, the tracker) depends on the parameter too.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, field_validator

from airloom.errors import RunParameterError
from airloom.spec.complaints import build_complaints
from airloom.spec.document import join_path
from airloom.spec.orchestration import FAMILIES, Family
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import build_plan, dag_id
from airloom.spec.section import MOMENT, Days, Section, Seed
from airloom.spec.sources import BatchesSource, CsvSource, PackageSource, ParquetSource, Sink, SqlSink

Moment = Annotated[str, StringConstraints(pattern=MOMENT), Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601; without a time zone UTC is meant. The format is for web forms: Airflow does not check it."""

Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+$")]
"""A model version's number, as text."""

FileSource = Annotated[CsvSource | ParquetSource | PackageSource | BatchesSource, Field(discriminator="type")]
"""A source that is no SQL: SQL is code, and only the pipeline file names code."""


class Parameters(Section):
    """Of a family that takes none."""


class WindowParameters(Section):
    """Of a family that works on a window of time."""

    window_end: Moment | None = None
    """Leave out the rows from this time on (ISO 8601). Empty: the end of a scheduled or backfill run's data interval;
    else now."""

    @field_validator("window_end")
    @classmethod
    def _readable(cls, given: str | None) -> str | None:
        return None if given is None else read_moment(given).isoformat()


class TrainParameters(WindowParameters):
    """Of a training."""

    params: dict[str, Any] | None = None
    """Arguments of the estimator or entry point, put over `train.params`."""
    seed: Seed | None = None
    """Instead of `train.seed`."""
    window_days: Days | None = Field(default=None, gt=0)
    """Instead of `data.window_days`."""

    @field_validator("params")
    @classmethod
    def _finite(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        try:  # JSON has no such numbers: the stage would be told null
            json.dumps(given, allow_nan=False)
        except (ValueError, TypeError) as error:
            raise ValueError(f"given what JSON does not have ({error}); give finite numbers, text, or null") from error
        return given


class ScoreParameters(WindowParameters):
    """Of a batch scoring."""

    source: FileSource | None = None
    """Rows to score, instead of `score.source`: a file source, as a pipeline file names it, below the data root."""
    sink: Sink | None = None
    """Where they go, instead of `score.sink`: below the data root."""
    window_end: Moment | None = None
    """Leave out the rows from this time on (ISO 8601). Empty: the end of a backfill run's data interval, and of a
    scheduled run's where `score.window_days` is given; else none is left out."""

    @field_validator("source", "sink")
    @classmethod
    def _inside(cls, given: FileSource | Sink | None) -> FileSource | Sink | None:
        if given is not None:
            _require_inside(given.database if isinstance(given, SqlSink) else given.path)
        return given


class MonitorParameters(WindowParameters):
    """Of a monitoring."""

    window_days: Days | None = Field(default=None, gt=0)
    """Instead of `monitor.window_days`."""


class PromoteParameters(Section):
    """Of a promotion."""

    version: Version | None = None
    """Model version that becomes champion. Empty: the newest challenger."""


class RollbackParameters(Section):
    """Of a rollback."""

    version: Version | None = None
    """An earlier champion's version. Empty: the champion before this one."""


PARAMETERS: Mapping[Family, type[Section]] = {
    "train": TrainParameters,
    "features": Parameters,
    "score": ScoreParameters,
    "monitor": MonitorParameters,
    "promote": PromoteParameters,
    "rollback": RollbackParameters,
}


def find_family(pipeline: Pipeline, name: str) -> Family | None:
    """The family of a DAG of this pipeline; None where the DAG is somebody's own."""
    return next((family for family in FAMILIES if dag_id(pipeline, family) == name), None)


def guess_family(pipeline: Pipeline, stage: str) -> Family | None:
    """The first family that runs a stage: whose parameters it understands in somebody's own DAG."""
    for family in FAMILIES:
        plan = build_plan(pipeline, family)
        if plan is not None and any(task.stage == stage for task in plan.tasks):
            return family
    return None


def check_parameters(family: Family, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was started with, without what was left empty.

    Args:
        family: the run's DAG family.
        given: parameter → value, such as an Airflow run's conf.

    Errors:
        RunParameterError: unknown, or of the wrong kind; names what was given, what is allowed, what to do.
    """
    model = PARAMETERS[family]
    filled = {name: value for name, value in given.items() if value is not None}
    try:
        parameters = model.model_validate(filled)
    except ValidationError as error:
        complaints = build_complaints(model, filled, error.errors(include_url=False))
        told = "; ".join(f"{join_path(complaint.path)}: {complaint.message}" for complaint in complaints)
        takes = _hint(filled) if family == "train" else "" if model.model_fields else "; it takes no parameters"
        raise RunParameterError(f"the {family} run was started with what it does not take: {told}{takes}") from None
    return parameters.model_dump(mode="json", exclude_none=True)


def apply_parameters(pipeline: Pipeline, family: Family, given: Mapping[str, Any]) -> Pipeline:
    """The pipeline as a run sees it that was started with checked parameters.

    Args:
        pipeline: the resolved pipeline file.
        family: the run's DAG family.
        given: what `check_parameters` gave.

    Errors:
        RunParameterError: what was given does not fit this pipeline.
    """
    section = {"train": "data", "score": "score", "monitor": "monitor"}.get(family)
    if not given or section is None:
        return pipeline
    if "window_end" in given and family != "monitor":
        require_timestamp(pipeline, "window_end")
    data = pipeline.model_dump(mode="json")
    spec = data["spec"]
    for name in ("window_days", "source", "sink"):
        if name in given:
            spec[section][name] = given[name]
    if "seed" in given:
        spec["train"]["seed"] = given["seed"]
    spec["train"]["params"] |= given.get("params", {})
    try:
        return Pipeline.model_validate(data)
    except ValidationError as error:
        complaints = build_complaints(Pipeline, data, error.errors(include_url=False))
        told = "; ".join(f"{join_path(complaint.path)}: {complaint.message}" for complaint in complaints)
        raise RunParameterError(f"what the run was started with does not fit {pipeline.full_name}: {told}") from None


def require_timestamp(pipeline: Pipeline, why: str) -> None:
    """Refuse to go by time where rows have none.

    Errors:
        RunParameterError: the pipeline names no `data.timestamp`.
    """
    if pipeline.spec.data.timestamp is None:
        raise RunParameterError(
            f"{why} goes by the rows' time, and {pipeline.full_name} names no data.timestamp. Name the column with the "
            "event time there; without it every run works on all rows that are there now."
        )


def read_moment(text: str) -> datetime:
    """A time with its zone.

    Errors:
        ValueError: it is not ISO 8601.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"given {text!r}; give a time as ISO 8601 has it, such as 2026-01-31T00:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@functools.cache
def build_forms(family: Family) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each parameter's description and JSON Schema, null allowed, for a trigger form."""
    fields = PARAMETERS[family].model_json_schema().get("properties", {})
    return {name: (" ".join(field["description"].split()), _flatten(field)) for name, field in fields.items()}


def _flatten(field: dict[str, Any]) -> dict[str, Any]:
    """One schema with a list of types, which web forms understand; a mapping's inside is checked when it is used."""
    options = [option for option in field["anyOf"] if option.get("type") != "null"]
    option = options[0] if len(options) == 1 and "type" in options[0] else {"type": "object"}
    kept = {key: option[key] for key in ("format", "pattern", "exclusiveMinimum", "maximum") if key in option}
    return {"type": [option["type"], "null"], **kept}


def _hint(given: Mapping[str, Any]) -> str:
    """What somebody may have meant who named an argument of the estimator beside the parameters."""
    fields = TrainParameters.model_fields
    unknown = [name for name in given if name not in fields and not difflib.get_close_matches(name, fields, 1)]
    if not unknown:
        return ""
    return f'. An argument of the estimator goes into params: {{"params": {{"{unknown[0]}": …}}}}'


def _require_inside(path: Any) -> None:
    """Who may start a run may not therefore read and write everything: only what lies below the data root."""
    if not isinstance(path, str):
        raise ValueError("a secret is named in the pipeline file only; give a path")
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or ":" in path:
        raise ValueError(f"given {path!r}; give a path below the data root: relative, without .. and without a scheme")
