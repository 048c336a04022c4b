"""Reads the lineage file back: what made a model version, and which version was in production when.

Called by `airloom lineage`. It knows nothing but the file: no registry, no Airflow. Lines that are cut off, or that
two writers tore, are passed over where they cannot be mended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from airloom.errors import DataError
from airloom.ports.lineage_sink import NAMESPACE

_EVENT_OPENS = '{"eventTime"'


@dataclass(frozen=True)
class StageRecord:
    """One attempt of one stage that ended well.

    Attributes:
        at: when it ended.
        run: content of its `airloom_run` facet: START's and COMPLETE's together.
        parent: OpenLineage's parent facet (the Airflow task, and its DAG run as root); empty without Airflow.
        inputs: datasets that were read, as in the event.
        outputs: datasets that were written, as in the event.
    """

    at: datetime
    run: Mapping[str, Any]
    parent: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]

    @property
    def model_version(self) -> str | None:
        """The model version that it registered, promoted or rolled back to."""
        for dataset in self.outputs:
            if facet := dataset.get("facets", {}).get("airloom_model"):
                return str(facet["model_version"])
        return None

    @property
    def model_facet(self) -> Mapping[str, Any]:
        found = (dataset.get("facets", {}).get("airloom_model") for dataset in self.outputs)
        return next((facet for facet in found if facet), {})


class ModelHistory:
    """All that the lineage file tells of one model.

    Args:
        path: the file.
        model: `<team>.<pipeline>`.

    Errors:
        DataError: there is no such file, or it tells nothing of that model.
    """

    def __init__(self, path: Path, model: str) -> None:
        if not path.is_file():
            raise DataError(f"there is no lineage file {path}; give --file PATH, or run a pipeline first")
        records = list(read_stages(path))
        names = {f"{record.run['team']}.{record.run['pipeline']}" for record in records}
        if model not in names:
            raise DataError(
                f"{path} tells nothing of a model {model!r}; it tells of: {', '.join(sorted(names)) or '–'}"
            )
        self.model = model
        self._records = [record for record in records if f"{record.run['team']}.{record.run['pipeline']}" == model]

    @property
    def registered(self) -> dict[str, StageRecord]:
        """Version → what registered it first, oldest first."""
        found: dict[str, StageRecord] = {}
        for record in self._records:
            if record.run["stage"] == "register" and record.model_version:
                found.setdefault(record.model_version, record)
        return found

    @property
    def promotions(self) -> list[StageRecord]:
        """What made a version champion, oldest first: promotions and rollbacks."""
        stages = ("promote", "rollback")  # one that found it champion already wrote no model
        return [record for record in self._records if record.run["stage"] in stages and record.model_version]

    def resolve(self, version: str) -> str:
        """A version by number, or by alias: `champion`, `challenger`.

        Errors:
            DataError: no such version was registered; tells which were.
        """
        known = self.registered
        if version == "champion" and self.promotions:
            return str(self.promotions[-1].model_version)
        if version == "challenger" and known:
            return list(known)[-1]
        if version not in known:
            raise DataError(
                f"the lineage of {self.model} knows no version {version!r}; it knows: {', '.join(known) or 'none yet'}"
            )
        return version

    def stages_behind(self, version: str) -> dict[str, StageRecord]:
        """Stage → its last success, of the run that registered the version, up to that moment."""
        register = self.registered[version]
        run_id = register.run["run_id"]
        return {
            record.run["stage"]: record
            for record in self._records
            if record.run["run_id"] == run_id and record.at <= register.at
        }

    def in_production(self, day: date) -> list[StageRecord]:
        """The promotions in force on a day (UTC): the last before it, if any, then that day's own."""
        earlier = [record for record in self.promotions if record.at.date() < day]
        return earlier[-1:] + [record for record in self.promotions if record.at.date() == day]


def read_stages(path: Path) -> Iterator[StageRecord]:
    """Every attempt of a stage that ended well, in the order they ended."""
    started: dict[str, Mapping[str, Any]] = {}
    for event in _read_events(path):
        facets = event.get("run", {}).get("facets", {})
        run = facets.get("airloom_run")
        if not run or event.get("job", {}).get("namespace") != NAMESPACE:
            continue
        run_id = event["run"]["runId"]
        if event["eventType"] == "START":
            started[run_id] = run
        elif event["eventType"] == "COMPLETE":
            yield StageRecord(
                at=datetime.fromisoformat(event["eventTime"]).astimezone(UTC),
                run={**started.get(run_id, {}), **run},
                parent=facets.get("parent", {}),
                inputs=tuple(event.get("inputs", ())),
                outputs=tuple(event.get("outputs", ())),
            )


def _read_events(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                yield from _salvage(line)


def _salvage(line: str) -> Iterator[dict[str, Any]]:
    """Whole events inside a torn line: the client writes an event's keys in order, so each opens in the same way."""
    decoder = json.JSONDecoder()
    start = line.find(_EVENT_OPENS)
    while start >= 0:
        end = start + 1
        try:
            event, end = decoder.raw_decode(line, start)
            yield event
        except ValueError:
            pass
        start = line.find(_EVENT_OPENS, end)
