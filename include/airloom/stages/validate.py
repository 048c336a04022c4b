"""Validate: the rows against the pipeline's expectations. The data docs are kept, whichever way it goes."""

from __future__ import annotations

import logging

from airloom.errors import GateFailedError
from airloom.stages.facets import build_assertions, build_dataset
from airloom.stages.stage import Stage, StageOutcome, StageTask

log = logging.getLogger("airloom.stages.validate")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    ingested = task.require_input("ingest")
    store = task.ports.object_store
    rows = task.ports.tables.read(store.local(ingested.outputs["rows"].uri))
    docs = task.folder / "docs"
    report = task.ports.data_quality.validate(rows, task.pipeline.full_name, task.pipeline.spec.data.expectations, docs)
    outcome.verdicts = list(report.verdicts)
    outcome.outputs["quality_report"] = store.write(task.uri("quality_report.json"), report.document)
    outcome.links["Data docs"] = f"{store.upload_tree(report.docs, task.uri('data_docs'))}/index.html"
    outcome.lineage_inputs = [
        build_dataset(
            task.context,
            "rows",
            str(ingested.facts["dataset_version"]),
            facets=build_assertions(report.verdicts),
        )
    ]
    for verdict in report.verdicts:
        log.info("%s %s: %s", "passed" if verdict.passed else "FAILED", verdict.name, verdict.reason)
    failed = [f"{verdict.name}: {verdict.reason}" for verdict in report.verdicts if not verdict.passed]
    if failed:
        raise GateFailedError(
            f"{len(failed)} of {len(report.verdicts)} expectations do not hold: {'; '.join(failed)}. See the data docs"
        )


def _identify(task: StageTask) -> str:
    return ""


STAGE = Stage(run=_run, reads=("data",), identity=_identify)
