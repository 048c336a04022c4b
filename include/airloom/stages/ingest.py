"""Ingest: the sources become one content-addressed dataset version, with a manifest."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime
from pathlib import Path

from airloom.errors import DataError
from airloom.spec.sources import PackageSource, Source, SqlSource
from airloom.stages.facets import build_dataset, build_source
from airloom.stages.stage import Stage, StageOutcome, StageTask

_VERSION_DIGITS = 16

log = logging.getLogger("airloom.stages.ingest")


def _identify(task: StageTask) -> str:
    digests = {name: task.ports.tables.identify(source) for name, source in _sources(task).items()}
    context = task.context
    return json.dumps([digests, *([context.window_end, context.window_asked] if _is_cut(task) else [])])


def _run(task: StageTask, outcome: StageOutcome) -> None:
    data = task.pipeline.spec.data
    tables, store = task.ports.tables, task.ports.object_store
    paths = tables.extract(_sources(task), _queries(task), task.folder)
    columns = tables.columns(paths["rows"])
    _require_columns(task, columns)
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(paths.items())}
    version = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:_VERSION_DIGITS]
    prefix = f"{task.context.pipeline_uri}/datasets/{version}"
    for name, path in paths.items():
        outcome.outputs[name] = store.upload(path, f"{prefix}/{path.name}")
    sources = {
        name: {"digest": tables.identify(source), **source.model_dump(mode="json", exclude_none=True)}
        for name, source in data.sources.items()
    }
    rows = tables.count(paths["rows"])
    manifest = {
        "dataset": task.pipeline.full_name,
        "version": version,
        "rows": rows,
        "columns": columns,
        "query": data.query,
        "window_days": data.window_days,
        "sources": sources,
        "files": {name: f"sha256:{digest}" for name, digest in digests.items()},
    }
    document = json.dumps(manifest, indent=2, sort_keys=True).encode()
    outcome.outputs["manifest"] = store.write(f"{prefix}/manifest.json", document)
    outcome.facts = {"dataset_version": version, "rows": rows, "columns": dict(columns)}
    if data.timestamp is not None:  # not in the manifest: the same rows are the same version, whoever asked for them
        outcome.facts["window_end"] = task.context.window_end
    outcome.links["Dataset manifest"] = f"{prefix}/manifest.json"
    outcome.lineage_inputs = [
        build_source(name, _label(source), str(sources[name]["digest"])) for name, source in data.sources.items()
    ]
    outcome.lineage_outputs = [
        build_dataset(task.context, name, version, tables.columns(path)) for name, path in paths.items()
    ]
    log.info("dataset version %s: %d rows, %d columns", version, rows, len(columns))


def _sources(task: StageTask) -> dict[str, Source]:
    return dict(task.pipeline.spec.data.sources)


def _queries(task: StageTask) -> dict[str, str]:
    """The rows, and every feature view's values; each in an order of its own, so that equal content is equal bytes."""
    data = task.pipeline.spec.data
    rows = f"FROM (\n{data.query or _from(next(iter(data.sources)))}\n)"
    if _is_cut(task):
        log.info("rows from %s on are left out", task.context.window_end)
        rows = _before(rows, str(data.timestamp), str(task.context.window_end), not task.context.window_asked)
    if data.window_days is not None:
        rows = (
            f"WITH airloom_rows AS ({rows}) FROM airloom_rows WHERE {_quote(data.timestamp)} > "
            f"(SELECT max({_quote(data.timestamp)}) FROM airloom_rows) - INTERVAL ({data.window_days * 86400}) SECOND"
        )
    order = [column for column in (data.timestamp, *data.key) if column is not None]
    queries = {"rows": _ordered(rows, order)}
    features = task.pipeline.spec.features
    for name, view in (features.views if features else {}).items():
        wanted = [view.entity, *([view.timestamp] if view.timestamp else []), *view.columns]
        query = f"SELECT {', '.join(map(_quote, wanted))} FROM (\n{view.query or _from(name)}\n)"
        queries[f"view_{name}"] = _ordered(query, wanted)
    return queries


def _is_cut(task: StageTask) -> bool:
    return task.pipeline.spec.data.timestamp is not None and task.context.window_end is not None


def _before(rows: str, timestamp: str, end: str, keep_undated: bool) -> str:
    """The rows before a moment; a time without a zone is UTC.

    Args:
        keep_undated: keep a row whose time cannot be read.
    """
    microseconds = round(datetime.fromisoformat(end).timestamp() * 1e6)
    earlier = f"epoch_us(TRY_CAST({_quote(timestamp)} AS TIMESTAMPTZ)) < {microseconds}"
    return f"FROM ({rows}) WHERE coalesce({earlier}, {str(keep_undated).lower()})"


def _from(name: str) -> str:
    return f"FROM {_quote(name)}"


def _ordered(query: str, columns: list[str]) -> str:
    return f"FROM ({query}) ORDER BY {', '.join(map(_quote, columns))}" if columns else query


def _quote(name: str | None) -> str:
    return '"' + str(name).replace('"', '""') + '"'


def _require_columns(task: StageTask, columns: dict[str, str]) -> None:
    spec = task.pipeline.spec
    views = spec.features.views.values() if spec.features else ()
    given = {column for view in views for column in view.columns}
    wanted = {
        "train.target": [spec.train.target],
        "data.key": list(spec.data.key),
        "data.timestamp": [spec.data.timestamp] if spec.data.timestamp else [],
        "train.features": [name for name in spec.train.features if name not in given],
        "features.views": [view.entity for view in views],
    }
    lacking = {where: missing for where, names in wanted.items() if (missing := sorted(set(names) - set(columns)))}
    if lacking:
        told = "; ".join(f"{where} names {', '.join(missing)}" for where, missing in lacking.items())
        raise DataError(f"the rows lack columns: {told}. They have: {', '.join(columns)}")


def _label(source: Source) -> str:
    """Where a source lies, for people; never a connection string."""
    if isinstance(source, PackageSource):
        return f"{source.package}:{source.path}"
    if isinstance(source, SqlSource):
        return f"sql:{hashlib.sha256(source.query.encode()).hexdigest()[:12]}"
    return str(Path(source.path))


STAGE = Stage(run=_run, reads=("data", "features"), identity=_identify)
