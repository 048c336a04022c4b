"""Pipeline files for the tests."""

from __future__ import annotations

from pathlib import Path

MINIMAL = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}, team: {team}}}
spec:
  data:
    sources:
      rows: {{type: parquet, path: rows.parquet}}
  train: {{target: y, estimator: sklearn.linear_model.LogisticRegression}}
"""

OF_P = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: p}
spec:
  data: {sources: {rows: {type: csv, path: rows.csv}}}
  train: {target: y, estimator: sklearn.linear_model.Ridge}
"""
"""Six lines, not to be formatted; further sections may follow."""

FULL = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {{name: {name}, team: {team}, owner: somebody, tags: [demo], description: Whole.}}
spec:
  schedule: "@weekly"
  retries: 3
  retry_delay_seconds: 7
  data:
    sources:
      rows: {{type: parquet, path: rows.parquet}}
    expectations:
      - expect_column_values_to_not_be_null: {{column: y}}
  features:
    views:
      rows: {{entity: id, columns: [a]}}
  train: {{target: y, estimator: sklearn.linear_model.LogisticRegression}}
  evaluate: {{}}
  test: {{max_disagreement: 0.5}}
  gates: {{thresholds: {{roc_auc_score: {{min: 0.6}}}}}}
  promote: {{auto: true}}
  deploy: {{target: gateway}}
  score:
    source: {{type: parquet, path: rows.parquet}}
    sink: {{type: parquet, path: scores.parquet}}
  monitor: {{schedule: "@daily", drift: {{share: 0.5}}, cooldown_minutes: 60}}
"""


def write_pipeline(root: Path, name: str, team: str = "ops", text: str = MINIMAL, file: str | None = None) -> Path:
    path = root / team / (file or f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(name=name, team=team))
    return path
