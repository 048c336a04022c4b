"""The page on a pipeline's Airflow side: its example is a pipeline, and its table has every parameter."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema

from airloom.spec import load_pipeline
from airloom.spec.document import parse_document
from airloom.spec.parameters import PARAMETERS
from airloom.spec.schema import build_schema

PAGE = (Path(__file__).parents[4] / "docs" / "airflow.md").read_text(encoding="utf-8")


def test_its_example_is_a_pipeline_of_the_schema(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    path = tmp_path / "credit" / "loans.yaml"
    path.parent.mkdir()
    path.write_text(example[1])
    spec = load_pipeline(path).spec
    assert spec.airflow.find_task_options("train").queue == "cpu"
    assert spec.notify.breach == spec.notify.failure
    jsonschema.validate(parse_document(example[1].encode(), str(path)).data, build_schema())


def test_its_table_has_every_parameter_and_no_other() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])}
    assert named == {name for model in PARAMETERS.values() for name in model.model_fields}
