"""`ExperimentTracker` on MLflow."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from airloom.adapters.mlflow.connection import connect, require_mlflow, translated
from airloom.errors import DataError, PermanentError, UserCodeError
from airloom.own_code import make_importable

if TYPE_CHECKING:
    import pandas as pd

_PARAM_LENGTH = 6000
"""MLflow's own limit on a parameter's text."""


class MlflowExperimentTracker:
    """See `airloom.ports.experiment_tracker`.

    Args:
        tracking_uri: `http://…` or `sqlite:///…`.
        data_root: below it lie modules of models' classes that are not installed.
    """

    def __init__(self, tracking_uri: str, data_root: Path) -> None:
        self._uri = tracking_uri
        self._data_root = data_root

    @contextmanager
    def start_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[MlflowRun]:
        with translated(self._uri):
            client = connect(self._uri)
            run = client.create_run(self._experiment_id(experiment), run_name=name, tags=dict(tags))
        run_id = run.info.run_id
        try:
            yield MlflowRun(self._uri, run_id)
        except BaseException:
            with translated(self._uri):
                client.set_terminated(run_id, "FAILED")
            raise
        with translated(self._uri):
            client.set_terminated(run_id, "FINISHED")

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        MlflowRun(self._uri, run_id).log_metrics(metrics)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with translated(self._uri):
            connect(self._uri).log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def load_model(self, uri: str) -> Any:
        mlflow = require_mlflow()
        make_importable(self._data_root)
        try:
            with translated(self._uri):
                connect(self._uri)
                return mlflow.sklearn.load_model(uri)
        except PermanentError as error:
            raise DataError(f"the model {uri} cannot be loaded: {error}") from error
        except (ImportError, AttributeError) as error:
            raise UserCodeError(
                f"the model {uri} cannot be loaded: {error}. The code of its class must be where it was when it was "
                f"trained: below {self._data_root} (AIRLOOM_DATA_ROOT), or installed in the Python environment of this "
                "process. Put it there, or train anew"
            ) from error

    def run_url(self, run_id: str, experiment: str) -> str | None:
        if not self._uri.startswith("http"):
            return None
        with translated(self._uri):
            return f"{self._uri}/#/experiments/{self._experiment_id(experiment)}/runs/{run_id}"

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        client = connect(self._uri)
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=_artifact_location(self._uri)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise PermanentError(
                f"the MLflow experiment {name!r} was deleted; restore it (mlflow experiments restore "
                f"--experiment-id {found.experiment_id}), or rename the pipeline"
            )
        return str(found.experiment_id)


class MlflowRun:
    """See `airloom.ports.experiment_tracker.TrackedRun`."""

    def __init__(self, tracking_uri: str, run_id: str) -> None:
        self.run_id = run_id
        self._uri = tracking_uri

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        texts = {
            name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in params.items()
        }
        with translated(self._uri):
            connect(self._uri).log_batch(
                self.run_id, params=[Param(name, text[:_PARAM_LENGTH]) for name, text in texts.items()]
            )

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with translated(self._uri):
            connect(self._uri).log_batch(
                self.run_id, metrics=[Metric(name, value, now, 0) for name, value in metrics.items()]
            )

    def log_dataset(self, rows: pd.DataFrame, name: str, digest: str, uri: str) -> None:
        mlflow = require_mlflow()
        from mlflow.entities import DatasetInput, InputTag

        with warnings.catch_warnings(), translated(self._uri):
            warnings.simplefilter("ignore")  # a hint about integer columns with missing values
            dataset = mlflow.data.from_pandas(rows.head(1000), source=uri, name=name, digest=digest)
            given = DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])
            connect(self._uri).log_inputs(self.run_id, [given])

    def log_model(self, model: Any, example: pd.DataFrame, prediction: Any, metadata: Mapping[str, JsonValue]) -> str:
        mlflow = require_mlflow()
        from importlib.metadata import version

        connect(self._uri)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        with warnings.catch_warnings(), translated(self._uri):
            warnings.simplefilter("ignore")
            signature = mlflow.models.infer_signature(example, prediction)
            with mlflow.start_run(run_id=self.run_id, log_system_metrics=False):
                # cloudpickle: skops refuses tree models and users' own classes. Whoever can write to the model store
                # can run code here, so keep it as closed as the code. Naming the requirements saves the seconds that
                # MLflow would spend on guessing them.
                logged = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    signature=signature,
                    input_example=example,
                    metadata={"airloom": dict(metadata)},
                    serialization_format="cloudpickle",
                    pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "pandas", "numpy")],
                )
        return str(logged.model_uri)


def _artifact_location(tracking_uri: str) -> str | None:
    """Where models lie when MLflow is a SQLite file with no server: beside that file, where a server would keep them
    too. MLflow's own choice is the process's working folder."""
    kind, _, path = tracking_uri.partition(":///")
    return (Path("/") / path).with_name("mlflow-artifacts").as_uri() if kind == "sqlite" else None
