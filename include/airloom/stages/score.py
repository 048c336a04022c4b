"""Score: batch predictions of the champion, put into the pipeline's sink whole or not at all."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airloom.errors import DataError
from airloom.prediction import predict
from airloom.stages.champion import CHAMPION
from airloom.stages.facets import build_dataset, build_model, build_source
from airloom.stages.stage import Stage, StageOutcome, StageTask
from airloom.stages.times import read_times, require_readable_times

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("airloom.stages.score")


def _run(task: StageTask, outcome: StageOutcome) -> None:
    section = task.pipeline.spec.score
    assert section is not None
    name = task.pipeline.full_name
    champion = task.ports.model_registry.find(name, CHAMPION)
    if champion is None:
        raise DataError(f"model {name} has no champion to score with; train and promote one first")
    metadata: dict[str, Any] = dict(champion.metadata)
    loaded = task.ports.tables.load(section.source)
    wanted = _in_window(task, loaded)
    rows = _fill_features(task, wanted, metadata)
    lacking = [feature for feature in metadata["types"] if feature not in rows.columns]
    if lacking:
        raise DataError(
            f"the rows of score.source lack features of version {champion.version}: {', '.join(lacking)}. "
            f"They have: {', '.join(map(str, rows.columns))}"
        )
    answer = predict(task.ports.experiment_tracker.load_model(champion.uri), rows, metadata)
    kept = [column for column in (*metadata["key"], metadata["timestamp"]) if column in rows.columns]
    scores = rows[kept].assign(prediction=answer.decision)
    if answer.probabilities is not None and len(metadata["classes"]) == 2:
        scores["probability"] = answer.prediction
    scores["model_version"] = champion.version
    place = task.ports.tables.publish(scores, section.sink, task.context.run_id)
    outcome.facts = {
        "rows": len(scores),
        "rows_left_out": len(loaded) - len(wanted),
        "model_version": champion.version,
        "sink": place,
    }
    digest = task.ports.tables.identify(section.source)
    outcome.lineage_inputs = [
        build_source("score", f"score:{section.source.type}", digest),
        build_model(task.context, champion.version),
    ]
    columns = {column: str(kind) for column, kind in scores.dtypes.items()}
    outcome.lineage_outputs = [build_dataset(task.context, "scores", task.context.run_id, columns)]
    log.info("%d rows scored by version %s into %s", len(scores), champion.version, place)


def _in_window(task: StageTask, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the run's window; where nobody asked for one all, also those dated after a scheduled run's interval:
    what is to be scored is often yet to come.

    Errors:
        DataError: rows have no time that can be read, or none lies in the window.
    """
    import pandas as pd

    section, timestamp = task.pipeline.spec.score, task.pipeline.spec.data.timestamp
    assert section is not None
    end, days = task.context.window_end, section.window_days
    if days is None and not task.context.window_asked:
        return rows
    if timestamp not in rows.columns:
        raise DataError(
            f"score goes by the rows' time here, and score.source gives no column {timestamp!r} (data.timestamp). "
            f"It gives: {', '.join(map(str, rows.columns))}"
        )
    times = read_times(rows[timestamp])
    require_readable_times(int(times.notna().sum()), len(rows), str(timestamp))
    if undated := int(times.isna().sum()):
        log.warning("%d of %d rows have no %s that can be read; they are left out", undated, len(rows), timestamp)
    inside = times.notna()
    if end is not None:
        inside &= times < datetime.fromisoformat(end)
        if later := int(times.notna().sum() - inside.sum()):
            log.info("%d of %d rows are dated %s or later; they are left out", later, len(rows), end)
    if days is not None:
        inside &= times > times[inside].max() - pd.Timedelta(days=days)
    if not inside.any():
        raise DataError(f"none of the {len(rows)} rows of score.source lies in this run's window, before {end}")
    log.info("%d of %d rows lie in this run's window", int(inside.sum()), len(rows))
    return rows[inside]


def _fill_features(task: StageTask, rows: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
    """The rows with the views' columns: as of each row's time where it has one, else the newest."""
    given = [column for view in metadata["views"].values() for column in view["columns"] if column in rows.columns]
    rows = rows.drop(columns=given)
    if not metadata["views"]:
        return rows
    timestamp = metadata["timestamp"]
    return task.ports.feature_store.join(rows, timestamp if timestamp in rows.columns else None)


STAGE = Stage(run=_run, reads=("score",))
