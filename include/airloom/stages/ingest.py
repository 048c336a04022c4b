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
from airloom.stages.times import require_readable_times

_VERSION_DIGITS = 16

log = logging.getLogger("airloom.stages.ingest")


def _identify(task: StageTask) -> str:
    digests = {name: task.ports.tables.identify(source) for name, source in _sources(task).items()}
    context = task.context
    return json.dumps([digests, *([context.window_end, context.window_asked] if _is_cut(task) else [])])


def _run(task: StageTask, outcome: StageOutcome) -> None:
    data = task.pipeline.spec.data
    tables, store = task.ports.tables, task.ports.object_store
    _count_left_out(task)
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
    rows = _uncut(task)
    if _is_cut(task):
        kept = str(not task.context.window_asked).lower()
        rows = f"FROM ({rows}) WHERE coalesce({_time(task)} < {_end(task)}, {kept})"
    if data.window_days is not None:
        rows = (
            f"WITH airloom_rows AS ({rows}) FROM airloom_rows WHERE {_time(task)} > "
            f"(SELECT max({_time(task)}) FROM airloom_rows) - {round(data.window_days * 86_400_000_000)}"
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


def _count_left_out(task: StageTask) -> None:
    """Log how many rows the run's window leaves out.

    Errors:
        DataError: somebody asked for a window, and no row has a time that it could go by.
    """
    data, context = task.pipeline.spec.data, task.context
    if data.window_days is None and not _is_cut(task):
        return
    time = _time(task)
    later = f"count(*) FILTER ({time} >= {_end(task)})" if _is_cut(task) else "0"
    query = f"SELECT count(*) AS rows, count({time}) AS dated, {later} AS later FROM ({_uncut(task)})"
    tables = task.ports.tables
    counted = tables.read(tables.extract(_sources(task), {"rows": query}, task.folder)["rows"])
    rows, dated, after = (int(counted[name][0]) for name in ("rows", "dated", "later"))
    kept = data.window_days is None and not context.window_asked
    if not kept:
        require_readable_times(dated, rows, str(data.timestamp))
    if dated < rows:
        told = "are in all the same" if kept else "are left out"
        log.warning("%d of %d rows have no %s that can be read; they %s", rows - dated, rows, data.timestamp, told)
    if after:
        log.info("%d of %d rows are dated %s or later; they are left out", after, rows, context.window_end)


def _time(task: StageTask) -> str:
    """A row's time, in microseconds; one without a zone is UTC. Null: it cannot be read, such as a number's."""
    return f"epoch_us(TRY_CAST({_quote(task.pipeline.spec.data.timestamp)} AS TIMESTAMPTZ))"


def _end(task: StageTask) -> int:
    """The window's, in microseconds."""
    return round(datetime.fromisoformat(str(task.context.window_end)).timestamp() * 1e6)


def _uncut(task: StageTask) -> str:
    data = task.pipeline.spec.data
    return f"FROM (\n{data.query or _from(next(iter(data.sources)))}\n)"


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
