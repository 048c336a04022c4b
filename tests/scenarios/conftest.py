"""A small pipeline and its installation: 400 rows of a CSV, DuckDB, Great Expectations, scikit-learn, MLflow on SQLite.

The tests run stages in this process, as `python -m airloom.stages` does, so that the libraries are loaded once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airloom.protocol import StageContext, StageResult
from airloom.protocol.context import result_uri
from airloom.settings import Settings, load_settings
from airloom.spec import Pipeline, load_pipeline
from airloom.stages.runner import StageRun
from airloom.stages.secrets import Redactor
from airloom.stages.wiring import EmbeddedPorts

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: loans, team: credit}
spec:
  data:
    sources:
      loans: {type: csv, path: loans.csv}
    key: [id]
    expectations:
      - expect_column_values_to_be_between: {column: income, min_value: 0}
  train: {target: repaid, estimator: sklearn.linear_model.LogisticRegression, features: [income, debt], seed: 3}
  evaluate: {metrics: [roc_auc_score]}
  gates: {thresholds: {roc_auc_score: {min: 0.7}}}
  promote: {auto: true}
"""
TRAINING = ("ingest", "validate", "train", "evaluate", "gate", "register")


def make_loans() -> pd.DataFrame:
    random = np.random.default_rng(5)
    income, debt = random.uniform(10, 100, 400).round(2), random.uniform(0, 50, 400).round(2)
    repaid = income - debt + random.normal(0, 8, 400) > 25
    return pd.DataFrame({"id": range(400), "income": income, "debt": debt, "repaid": repaid})


@dataclass
class Bank:
    """One installation with one pipeline file."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {"AIRLOOM_HOME": str(self.folder / "home"), "AIRLOOM_DATA_ROOT": str(self.folder)}
        (self.folder / "home").mkdir()
        self.write(TEXT)
        make_loans().to_csv(self.folder / "loans.csv", index=False)

    @property
    def settings(self) -> Settings:
        return load_settings(self.environ)

    @property
    def uri(self) -> str:
        return f"{self.settings.artifacts_uri}/credit/loans"

    @property
    def ports(self) -> EmbeddedPorts:
        return EmbeddedPorts(self.settings, self.uri)

    @property
    def pipeline(self) -> Pipeline:
        root = self.folder / "pipelines"
        return load_pipeline(root / "credit" / "loans.yaml", root=root)

    def write(self, text: str) -> None:
        path = self.folder / "pipelines" / "credit" / "loans.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, old: str, new: str) -> None:
        assert old in TEXT
        self.write(TEXT.replace(old, new))

    def context(self, stage: str, run_id: str, attempt: int = 1, **params: Any) -> StageContext:
        made = StageContext(
            team="credit",
            pipeline="loans",
            stage=stage,
            run_id=run_id,
            attempt=attempt,
            spec=self.pipeline.model_dump(mode="json"),
            pipeline_uri=self.uri,
            params=params,
        )
        return made.model_copy(update={"inputs": {name: result_uri(made.run_uri, name) for name in TRAINING}})

    def run(self, stage: str, run_id: str, attempt: int = 1, **params: Any) -> StageResult:
        """One stage's result, good or not."""
        return self.execute(self.context(stage, run_id, attempt, **params))

    def execute(self, context: StageContext) -> StageResult:
        """The result of a stage that is told just this."""
        pointer = StageRun(context, self.settings, Redactor({**os.environ, **self.environ})).execute()
        return StageResult.from_json(self.ports.object_store.read(pointer.result_uri))

    def train(self, run_id: str) -> dict[str, StageResult]:
        """A whole training run, until a stage fails."""
        results: dict[str, StageResult] = {}
        for stage in TRAINING:
            results[stage] = self.run(stage, run_id)
            if results[stage].status == "failed":
                break
        return results


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)
