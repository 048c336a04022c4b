"""What a pipeline names in the stages' libraries and is not there is told with its place, before anything runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from airloom.cli import main

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: p, team: ops}
spec:
  data:
    sources: {rows: {type: csv, path: rows.csv}}
    key: [id]
  train:
    target: y
    estimator: sklearn.tree.DecisionTreeClassifier
    params: {max_depth: 3}
  evaluate: {metrics: [accuracy_score, zero_one_loss]}
  gates: {thresholds: {f1_score: {min: 0.5}}, champion: {metric: roc_auc_score}}
  monitor:
    ground_truth: {source: {type: csv, path: late.csv}}
    performance: {metric: f1_score, min: 0.1}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("AIRLOOM_DATA_ROOT", "AIRLOOM_CLUSTER_FILE", "AIRLOOM_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "p.yaml"


def validate(file: Path, old: str = "", new: str = "") -> int:
    assert old in PIPELINE
    file.write_text(PIPELINE.replace(old, new, 1) if old else PIPELINE)
    return main(["validate", str(file)])


def test_names_that_are_there_are_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(file) == 0
    assert capsys.readouterr().out == f"{file}: OK, ops.p\n"


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("zero_one_loss", "zero_on_loss", "12:40: spec.evaluate.metrics.1", "did you mean zero_one_loss"),
        ("f1_score: {min", "f1_scor: {min", "13:24: spec.gates.thresholds.f1_scor", "did you mean f1_score"),
        ("metric: roc_auc_score", "metric: auc_roc", "13:66: spec.gates.champion.metric", "is no metric of sklearn"),
        ("metric: f1_score", "metric: f_score", "16:27: spec.monitor.performance.metric", "is no metric of sklearn"),
        ("DecisionTreeC", "DecisionTreC", "10:16: spec.train.estimator", "did you mean DecisionTreeClassifier"),
        ("sklearn.tree.", "sklearn.trees.", "10:16: spec.train.estimator", "there is no module 'sklearn.trees'"),
        ("TreeClassifier", "TreeRegressor", "10:16: spec.train.estimator", "does no classification"),
        ("max_depth", "max_deep", "11:14: spec.train.params.max_deep", "did you mean 'max_depth'?"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_its_place(
    file: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, place: str, words: str
) -> None:
    assert validate(file, old, new) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}:{place}: ")
    assert words in line


def test_a_name_in_defaults_is_told_there_and_the_pipeline_is_not_ok(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = file.parent / "pipelines"
    (root / "ops").mkdir(parents=True)
    (root / "ops" / "p.yaml").write_text(PIPELINE)
    (root / "defaults.yaml").write_text("spec:\n  train: {params: {max_deep: 3}}\n")
    assert main(["validate", str(root)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{root}/defaults.yaml:2:20: spec.train.params.max_deep: ")


def test_code_of_ones_own_is_not_run(file: Path) -> None:
    (file.parent / "own.py").write_text("raise SystemExit('run')")
    assert validate(file, "sklearn.tree.DecisionTreeClassifier", "own.Model") == 0


def test_what_is_not_installed_here_is_said_not_to_be_checked(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    assert validate(file, "DecisionTreeC", "DecisionTreC") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{file}: OK, ops.p"
    assert told[1].startswith("Not checked: what the files name of scikit-learn")


def test_nothing_is_loaded_that_no_name_needs(file: Path) -> None:
    file.write_text(PIPELINE.replace("estimator: sklearn.tree.DecisionTreeClassifier", "entrypoint: own:fit").replace(
        ", zero_one_loss", ""))  # fmt: skip
    program = (
        "import sys; from airloom.cli import main; assert main(['validate', sys.argv[1]]) == 0; "
        "print(sorted({'sklearn', 'numpy', 'pandas', 'great_expectations'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_an_expectation_that_is_none_is_told_with_its_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = (
        "    expectations:\n      - expect_column_to_exist: {column: y}\n      - expect_column_to_exit: {column: y}\n"
    )
    assert validate(file, "    key: [id]\n", f"    key: [id]\n{given}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}:10:9: spec.data.expectations.1: ")
    assert "did you mean expect_column_to_exist" in line
