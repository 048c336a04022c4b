"""Train: fits the pipeline's estimator on all but the holdout, and keeps it in the experiment tracker."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

from airloom.errors import AirloomError, DataError, UserCodeError
from airloom.ports.prediction_log import PREDICTION
from airloom.prediction import FeatureType, infer_types, predict, prepare
from airloom.stages.estimators import build_estimator, find_code, load_entrypoint
from airloom.stages.facets import build_dataset
from airloom.stages.stage import Stage, StageOutcome, StageTask

if TYPE_CHECKING:
    import pandas as pd

_REFERENCE_ROWS = 20_000
_EXAMPLE_ROWS = 5

log = logging.getLogger("airloom.stages.train")


def _identify(task: StageTask) -> str:
    code = find_code(task.pipeline.spec.train, task.settings.data_root)
    return hashlib.sha256(code.read_bytes()).hexdigest() if code else ""


def _run(task: StageTask, outcome: StageOutcome) -> None:
    spec = task.pipeline.spec
    rows, source = _read_rows(task)
    training, holdout = _split(task, rows)
    features = spec.train.features or _other_columns(task, rows)
    types = infer_types(training, features)
    classes = _classes(training[spec.train.target]) if spec.train.task == "classification" else None
    metadata = {
        "team": task.context.team,
        "pipeline": task.context.pipeline,
        "features": list(types),
        "types": dict(types),
        "key": list(spec.data.key),
        "timestamp": spec.data.timestamp,
        "target": spec.train.target,
        "task": spec.train.task,
        "classes": classes,
        "views": {
            name: {"entity": view.entity, "columns": [column for column in view.columns if column in types]}
            for name, view in (spec.features.views if spec.features else {}).items()
        },
        "dataset_version": source["dataset_version"],
        "reference_uri": task.uri("reference.parquet"),
        "run_id": task.context.run_id,
    }
    tracker = task.ports.experiment_tracker
    experiment = task.pipeline.full_name
    tags = {
        "airloom.team": task.context.team,
        "airloom.pipeline": task.context.pipeline,
        "airloom.run_id": task.context.run_id,
        "airloom.dataset_version": str(source["dataset_version"]),
    }
    log.info("fitting %s on %d rows, %d features", _code_name(task), len(training), len(types))
    with tracker.start_run(experiment, task.context.run_id, tags) as run:
        run.log_params(
            {"estimator": _code_name(task), "seed": spec.train.seed, "holdout": spec.train.holdout, **spec.train.params}
        )
        run.log_dataset(training, f"{experiment}.rows", str(source["dataset_version"]), str(source["uri"]))
        clock = time.perf_counter()
        model = _fit(task, training, types)
        run.log_metrics({"train_rows": len(training), "fit_seconds": time.perf_counter() - clock})
        reference = training.sample(min(len(training), _REFERENCE_ROWS), random_state=spec.train.seed).sort_index()
        answer = predict(model, reference, metadata)
        example = prepare(training.head(_EXAMPLE_ROWS), types)
        model_uri = run.log_model(model, example, answer.decision[:_EXAMPLE_ROWS], metadata)
    code = _identify(task)
    _publish(task, outcome, holdout, reference[list(types)].assign(**{PREDICTION: answer.prediction}))
    outcome.facts = {
        **{key: metadata[key] for key in ("features", "types", "target", "task", "classes", "dataset_version")},
        "mlflow_run_id": run.run_id,
        "model_uri": model_uri,
        "code_digest": f"sha256:{code}" if code else None,
        "train_rows": len(training),
        "holdout_rows": len(holdout),
        "rows_without_target": source["rows_without_target"],
    }
    if url := tracker.run_url(run.run_id, experiment):
        outcome.links["MLflow run"] = url
    columns = {name: str(kind) for name, kind in rows.dtypes.items()}
    kind = "features" if "features" in task.inputs else "rows"
    outcome.lineage_inputs = [build_dataset(task.context, kind, str(source["dataset_version"]), columns)]
    outcome.lineage_outputs = [
        build_dataset(task.context, name, artifact.digest, columns) for name, artifact in outcome.outputs.items()
    ]


def _read_rows(task: StageTask) -> tuple[pd.DataFrame, dict[str, Any]]:
    ingested = task.require_input("ingest")
    source = task.inputs.get("features", ingested).outputs["rows"]
    rows = task.ports.tables.read(task.ports.object_store.local(source.uri))
    target = task.pipeline.spec.train.target
    if target not in rows.columns:
        raise DataError(f"there is no column {target!r} (train.target); there are: {', '.join(map(str, rows.columns))}")
    known = rows[rows[target].notna()]
    if lost := len(rows) - len(known):
        log.info("%d rows without %s are left out", lost, target)
    version = ingested.facts["dataset_version"]
    return known, {"dataset_version": version, "uri": source.uri, "rows_without_target": lost}


def _other_columns(task: StageTask, rows: pd.DataFrame) -> tuple[str, ...]:
    data = task.pipeline.spec.data
    never = {*data.key, data.timestamp, task.pipeline.spec.train.target}
    return tuple(column for column in rows.columns if column not in never)


def _split(task: StageTask, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows and holdout: the newest by time, or drawn."""
    spec = task.pipeline.spec
    count = round(len(rows) * spec.train.holdout)
    if not 0 < count < len(rows):
        raise DataError(
            f"{len(rows)} rows leave nothing to train or to evaluate on with train.holdout {spec.train.holdout}"
        )
    ordered = (
        rows.sort_values([spec.data.timestamp, *spec.data.key], kind="stable")
        if spec.data.timestamp
        else rows.sample(frac=1, random_state=spec.train.seed)
    ).reset_index(drop=True)
    return ordered.iloc[:-count], ordered.iloc[-count:]


def _classes(target: pd.Series[Any]) -> list[Any]:
    classes = sorted({getattr(value, "item", lambda value=value: value)() for value in target.unique()})
    if len(classes) < 2:
        raise DataError(f"train.target {target.name!r} is always {classes[0]!r} in the training rows: nothing to learn")
    return classes


def _fit(task: StageTask, training: pd.DataFrame, types: dict[str, FeatureType]) -> Any:
    train = task.pipeline.spec.train
    features, target = prepare(training, types), training[train.target]
    if train.estimator is not None:
        estimator = build_estimator(train, types, task.settings.data_root)
        try:
            return estimator.fit(features, target)
        except Exception as error:
            raise UserCodeError(f"{train.estimator} could not be fitted: {error}") from error
    assert train.entrypoint is not None
    function = load_entrypoint(train.entrypoint, task.settings.data_root)
    try:
        model = function(features, target, dict(train.params))
    except AirloomError:
        raise
    except Exception as error:
        raise UserCodeError(f"train.entrypoint {train.entrypoint} raised {type(error).__name__}: {error}") from error
    if not hasattr(model, "predict"):
        raise UserCodeError(
            f"train.entrypoint {train.entrypoint} gave a {type(model).__name__}; it must give a fitted estimator, "
            "with a predict method"
        )
    return model


def _publish(task: StageTask, outcome: StageOutcome, holdout: pd.DataFrame, reference: pd.DataFrame) -> None:
    for name, frame in (("holdout", holdout), ("reference", reference)):
        path = task.folder / f"{name}.parquet"
        task.ports.tables.write(frame.reset_index(drop=True), path)
        outcome.outputs[name] = task.ports.object_store.upload(path, task.uri(path.name))


def _code_name(task: StageTask) -> str:
    train = task.pipeline.spec.train
    return str(train.estimator or train.entrypoint)


STAGE = Stage(run=_run, reads=("data", "features", "train"), identity=_identify)
