"""A stage's OpenLineage events: START, then COMPLETE or FAIL. Called by `file_sink`; imports the vendor's library.

The run is a child of the Airflow task's run, with the DAG run as its root. What OpenLineage has no facet for is in
Airloom's own `airloom_run` and `airloom_model`, described in `facets.schema.json`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from openlineage.client import event_v2 as ol
from openlineage.client import facet_v2 as facets

import airloom
from airloom.ports.lineage_sink import NAMESPACE, OWN_SCHEMA, PRODUCER
from airloom.protocol import Dataset, LineageParent, StageContext, StageResult

RUN_FACET = "airloom_run"

_INPUT_FACETS = ("dataQualityAssertions", "dataQualityMetrics", "inputStatistics")


def build_run_id(context: StageContext) -> str:
    """The lineage run of one attempt of one stage: the same whenever it is asked for."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, context.output_uri))


def build_start(context: StageContext, moment: str) -> ol.RunEvent:
    """The stage starts, with all that it was told.

    Args:
        context: of the stage.
        moment: now; ISO 8601 with a zone.
    """
    told = {"spec": context.spec, "inputs": context.inputs}
    return _event(context, ol.RunState.START, moment, _run_facets(context, told))


def build_end(context: StageContext, result: StageResult) -> ol.RunEvent:
    """The stage ended: COMPLETE or FAIL, with its datasets, metrics, verdicts and facts."""
    told = {
        "metrics": result.metrics,
        "facts": result.facts,
        "links": result.links,
        "verdicts": [verdict.model_dump(exclude_none=True) for verdict in result.verdicts],
        "environment": result.environment,
        "timings": result.timings,
        "fingerprint": result.fingerprint,
        "reused_from": result.reused_from,
    }
    run_facets = _run_facets(context, told)
    if result.verdicts:
        tests = [
            facets.test_run.TestExecution(
                name=verdict.name,
                status="pass" if verdict.passed else "fail",
                severity="error",
                description=verdict.reason,
                expected=None if verdict.limit is None else str(verdict.limit),
                actual=None if verdict.value is None else str(verdict.value),
            )
            for verdict in result.verdicts
        ]
        run_facets["test"] = facets.test_run.TestRunFacet(tests=tests, producer=PRODUCER)
    if result.failure:
        run_facets["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
            message=f"{result.failure.error}: {result.failure.message}",
            programmingLanguage="python",
            producer=PRODUCER,
        )
    state = ol.RunState.COMPLETE if result.status == "succeeded" else ol.RunState.FAIL
    event = _event(context, state, result.ended_at, run_facets)
    event.inputs = [_input(dataset) for dataset in result.lineage_inputs]
    event.outputs = [
        ol.OutputDataset(namespace=dataset.namespace, name=dataset.name, facets=_as_facets(dataset.facets))
        for dataset in result.lineage_outputs
    ]
    return event


def _event(context: StageContext, state: ol.RunState, moment: str, run_facets: dict[str, Any]) -> ol.RunEvent:
    job_type = facets.job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="AIRLOOM", jobType="STAGE", producer=PRODUCER
    )
    return ol.RunEvent(
        eventType=state,
        eventTime=moment,
        run=ol.Run(runId=build_run_id(context), facets=run_facets),
        job=ol.Job(
            namespace=NAMESPACE,
            name=f"{context.team}__{context.pipeline}.{context.stage}",
            facets={"jobType": job_type},
        ),
        producer=PRODUCER,
    )


def _run_facets(context: StageContext, told: Mapping[str, Any]) -> dict[str, Any]:
    engine = facets.processing_engine_run.ProcessingEngineRunFacet(
        version=airloom.__version__, name="Airloom", producer=PRODUCER
    )
    own = {
        "_producer": PRODUCER,
        "_schemaURL": f"{OWN_SCHEMA}AirloomRunFacet",
        "airloom": airloom.__version__,
        "team": context.team,
        "pipeline": context.pipeline,
        "stage": context.stage,
        "run_id": context.run_id,
        "attempt": context.attempt,
        "params": context.params,
        **told,
    }
    found: dict[str, Any] = {RUN_FACET: own, "processing_engine": engine, "tags": _tags(context)}
    if context.trace_parent:
        own["trace_parent"] = context.trace_parent
    if context.data_interval_end:
        found["nominalTime"] = facets.nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=context.data_interval_end, producer=PRODUCER
        )
    if context.lineage_parent:
        found["parent"] = _parent(context.lineage_parent)
    return found


def _tags(context: StageContext) -> facets.tags_run.TagsRunFacet:
    metadata = context.spec.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    pairs = [("team", context.team), *((str(tag), "true") for tag in (tags if isinstance(tags, list) else ()))]
    fields = [facets.tags_run.TagsRunFacetFields(key=key, value=value, source="AIRLOOM") for key, value in pairs]
    return facets.tags_run.TagsRunFacet(tags=fields, producer=PRODUCER)


def _parent(parent: LineageParent) -> facets.parent_run.ParentRunFacet:
    root = None
    if parent.root_run_id:
        root = facets.parent_run.Root(
            run=facets.parent_run.RootRun(runId=parent.root_run_id),
            job=facets.parent_run.RootJob(
                namespace=parent.root_namespace or parent.namespace, name=parent.root_name or parent.name
            ),
        )
    return facets.parent_run.ParentRunFacet(
        run=facets.parent_run.Run(runId=parent.run_id),
        job=facets.parent_run.Job(namespace=parent.namespace, name=parent.name),
        root=root,
        producer=PRODUCER,
    )


def _input(dataset: Dataset) -> ol.InputDataset:
    """OpenLineage keeps what was checked on reading apart from the dataset's own facets."""
    own = {name: facet for name, facet in dataset.facets.items() if name not in _INPUT_FACETS}
    checks = {name: facet for name, facet in dataset.facets.items() if name in _INPUT_FACETS}
    return ol.InputDataset(
        namespace=dataset.namespace, name=dataset.name, facets=_as_facets(own), inputFacets=_as_facets(checks)
    )


def _as_facets(content: Mapping[str, Any]) -> dict[str, Any]:
    """Facets as the stages wrote them: already OpenLineage's JSON, which the client's serialiser passes through."""
    return dict(content)
