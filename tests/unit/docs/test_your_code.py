"""The entry point of docs/your-code.md is found and fits, and its pipeline file is one."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from airloom.spec import load_pipeline
from airloom.stages.estimators import load_entrypoint

PAGE = (Path(__file__).parents[3] / "docs" / "your-code.md").read_text()


def read_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_pages_entry_point_trains_by_the_pages_pipeline(tmp_path: Path) -> None:
    (tmp_path / "flights").mkdir()
    (tmp_path / "flights" / "training.py").write_text(read_block("python"))
    (tmp_path / "ops").mkdir()
    file = tmp_path / "ops" / "flights.yaml"
    file.write_text(read_block("yaml"))
    train = load_pipeline(file).spec.train
    assert train.entrypoint
    fit = load_entrypoint(train.entrypoint, tmp_path)
    model = fit(pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]}), pd.Series([0, 0, 1, 1]), dict(train.params))
    assert model.predict_proba(pd.DataFrame({"x": [0.0]})).shape == (1, 2)
    assert train.params["C"] == model[-1].C
