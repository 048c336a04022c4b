"""Features: the views' values joined to the rows point in time, and the newest of them brought online."""

from __future__ import annotations

import logging

from airloom.stages.facets import build_dataset
from airloom.stages.stage import Stage, StageOutcome, StageTask

_VIEW = "view_"

log = logging.getLogger("airloom.stages.features")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    spec = task.pipeline.spec
    assert spec.features is not None
    ingested = task.require_input("ingest")
    store, tables, feature_store = task.ports.object_store, task.ports.tables, task.ports.feature_store
    views = {name: store.local(ingested.outputs[f"{_VIEW}{name}"].uri) for name in spec.features.views}
    feature_store.apply(spec.features.views, views)
    rows = feature_store.join(tables.read(store.local(ingested.outputs["rows"].uri)), spec.data.timestamp)
    path = task.folder / "rows.parquet"
    tables.write(rows, path)
    outcome.outputs["rows"] = store.upload(path, task.uri(path.name))
    feature_store.materialise()
    columns = [column for view in spec.features.views.values() for column in view.columns]
    version = str(ingested.facts["dataset_version"])
    outcome.facts = {"feature_columns": list(columns), "dataset_version": version}
    outcome.metrics = {f"filled.{column}": float(rows[column].notna().mean()) for column in columns}
    outcome.lineage_inputs = [
        build_dataset(task.context, name, version)
        for name in ("rows", *(f"{_VIEW}{name}" for name in spec.features.views))
    ]
    outcome.lineage_outputs = [build_dataset(task.context, "features", version, tables.columns(path))]
    log.info("joined %d columns of %d views to %d rows", len(columns), len(views), len(rows))


STAGE = Stage(run=_run, reads=("features", "data"))
