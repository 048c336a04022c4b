"""A source's or sink's path is a file's: an address is refused where it is written, and no password of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.errors import SpecError
from airloom.spec import load_pipeline

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: p, team: ops}
spec:
  data: {sources: {rows: SOURCE}}
  train: {target: y, estimator: sklearn.linear_model.Ridge}
  score: {source: {type: csv, path: rows.csv}, sink: SINK}
"""
RIGHT = {"SOURCE": "{type: csv, path: rows.csv}", "SINK": "{type: parquet, path: out.parquet}"}


@pytest.mark.parametrize(
    "given",
    [
        {"SOURCE": '{type: csv, path: "s3://u:pass-word@lake/rows.csv"}'},
        {"SOURCE": '{type: batches, path: "s3://u:pass-word@lake/*.parquet"}'},
        {"SOURCE": '{type: sql, query: SELECT 1, database: "postgresql://u:pass-word@db/lake"}'},
        {"SINK": '{type: parquet, path: "s3://u:pass-word@lake/out.parquet"}'},
        {"SINK": '{type: sql, table: t, database: "postgresql://u:pass-word@db/lake"}'},
    ],
)
def test_an_address_is_refused_without_its_password(tmp_path: Path, given: dict[str, str]) -> None:
    text = TEXT
    for name, place in {**RIGHT, **given}.items():
        text = text.replace(name, place)
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_pipeline(file, None, None)
    told = str(caught.value)
    assert "given an address, " in told
    assert "a mounted folder or bucket, the image of pods" in told
    assert "pass-word" not in told
