"""`airloom run --param` takes what the DAG takes and refuses the rest; `render` shows every start."""

from __future__ import annotations

from pathlib import Path

import pytest

from airloom.cli import main
from airloom.cli.run import LocalRun

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: loans, team: credit}
spec:
  schedule: {cron: "@daily", assets: [s3://lake/loans], aliases: [landed], when: all}
  data:
    sources: {rows: {type: parquet, path: rows.parquet}}
    timestamp: at
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression, params: {C: 2}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AIRLOOM_HOME", str(tmp_path / "home"))
    path = tmp_path / "credit" / "loans.yaml"
    path.parent.mkdir()
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize(
    ("given", "words"), [("sed=3", "did you mean 'seed'"), ("C=3", "into params"), ("seed=many", "a whole number")]
)
def test_an_unknown_parameter_is_refused(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, words: str
) -> None:
    assert main(["run", file, "--param", given]) == 1
    assert words in capsys.readouterr().err
    assert not list((tmp_path / "home").rglob("*"))


def test_parameters_change_the_pipeline_that_is_run(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = []

    def run_stage(self: LocalRun, stage: str) -> bool:
        contexts.append(self._build_context(stage))
        return False

    monkeypatch.setattr(LocalRun, "run_stage", run_stage)
    given = ["seed=4", "window_days=7", "window_end=2026-01-31", 'params={"max_iter": 10}']
    assert main(["run", file, *(part for param in given for part in ("--param", param))]) == 1
    [context] = contexts
    assert (context.window_end, context.window_asked) == ("2026-01-31T00:00:00+00:00", True)
    spec = context.spec["spec"]
    assert isinstance(spec, dict)
    train, data = spec["train"], spec["data"]
    assert isinstance(train, dict)
    assert isinstance(data, dict)
    assert (train["seed"], train["params"], data["window_days"]) == (4, {"C": 2, "max_iter": 10}, 7)


def test_a_value_that_is_no_whole_json_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", file, "--param", 'params={"a": '])
    assert "no whole JSON" in capsys.readouterr().err


def test_render_shows_every_way_in_which_a_dag_starts(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", file]) == 0
    told = capsys.readouterr().out
    assert "credit__loans__train: started by cron @daily or by asset s3://lake/loans and alias landed" in told
