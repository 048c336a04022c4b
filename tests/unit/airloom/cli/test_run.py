"""`airloom run` works with the embedded runtime where one runs, without anything to set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airloom.cli import main, run
from airloom.embedded import processes
from airloom.embedded.addresses import Addresses
from airloom.embedded.state import RuntimeState, write_state
from airloom.errors import PermanentError
from airloom.protocol import ResultPointer, StageResult
from airloom.settings import load_settings
from airloom.spec import load_pipeline

TEXT = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: loans, team: credit}
spec:
  data: {sources: {rows: {type: parquet, path: rows.parquet}}}
  train: {target: y, estimator: sklearn.linear_model.LogisticRegression}
"""
ADDRESSES = Addresses("http://127.0.0.1:4001", "http://127.0.0.1:4002", "http://127.0.0.1:4003")
NAMES = ("AIRLOOM_TRACKING_URI", "AIRLOOM_GATEWAY_URL")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("AIRLOOM_HOME", str(home))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return home


def write_running(home: Path, started: int) -> None:
    """The state that a supervisor with this process's id leaves."""
    write_state(home, RuntimeState(os.getpid(), started, "ready", ADDRESSES))


def find_environ(home: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """What `airloom run` gives its first stage."""
    path = home / "credit" / "loans.yaml"
    path.parent.mkdir()
    path.write_text(TEXT)
    given: list[Mapping[str, str]] = []

    def launch_stage(*_: Any, environ: Mapping[str, str], **__: Any) -> ResultPointer:
        given.append(environ)
        raise PermanentError("far enough")

    monkeypatch.setattr(run, "launch_stage", launch_stage)
    assert main(["run", str(path)]) == 1
    [environ] = given
    return environ


def started() -> int:
    found = processes.started_at(os.getpid())
    assert found is not None
    return found


def test_stages_are_told_the_addresses_of_the_runtime_that_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "s3.internal")
    write_running(home, started())
    environ = find_environ(home, monkeypatch)
    assert [environ[name] for name in NAMES] == [ADDRESSES.mlflow, ADDRESSES.gateway]
    assert {"127.0.0.1", "s3.internal"} <= set(environ["NO_PROXY"].split(","))


def test_an_address_that_is_given_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOOM_TRACKING_URI", "http://mlflow.internal")
    write_running(home, started())
    environ = find_environ(home, monkeypatch)
    assert [environ[name] for name in NAMES] == ["http://mlflow.internal", ADDRESSES.gateway]


def test_a_runtime_that_has_ended_gives_no_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_running(home, started() - 1)
    assert not set(NAMES) & set(find_environ(home, monkeypatch))


def write_pipelines(folder: Path, *names: str) -> list[Path]:
    paths = [folder / "pipelines" / "credit" / f"{name}.yaml" for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT.replace("loans", path.stem))
    return paths


def run_without_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where the plan of the file that was found is looked at."""
    monkeypatch.setenv("AIRLOOM_PIPELINES", str(home / "pipelines"))
    assert main(["run", "--until", "no-such-stage"]) == 1


def test_the_one_pipeline_there_is_needs_no_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pipelines(home, "loans")
    run_without_a_file(home, monkeypatch)
    assert "--until no-such-stage: the train plan has no such stage" in capsys.readouterr().err


def test_of_two_pipelines_one_is_to_be_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_pipelines(home, "cards", "loans")
    run_without_a_file(home, monkeypatch)
    assert f"holds 2 pipeline files; give the one to run: {paths[0]}, {paths[1]}" in capsys.readouterr().err


def test_where_there_is_no_pipeline_init_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_without_a_file(home, monkeypatch)
    assert "holds no pipeline file; write one with `airloom init`" in capsys.readouterr().err


def build_result(stage: str, **facts: Any) -> StageResult:
    return StageResult(
        team="credit", pipeline="loans", stage=stage, run_id="r", attempt=1, status="succeeded", facts=facts,
        started_at="2026-01-01T00:00:00+00:00", ended_at="2026-01-01T00:00:01+00:00",
    )  # fmt: skip


def build_run(home: Path, result: StageResult) -> run.LocalRun:
    file = home / "loans.yaml"
    file.write_text(TEXT)
    found = run.LocalRun(load_pipeline(file, None, None), load_settings(os.environ), {}, params={}, verbose=False)
    found.results[result.stage] = result
    return found


@pytest.mark.parametrize(
    ("breached", "words"), [(False, "nothing to start: there is no champion yet"), (True, "starts a training: ")]
)
def test_a_monitors_reason_is_told(home: Path, capsys: pytest.CaptureFixture[str], breached: bool, words: str) -> None:
    build_run(home, build_result("monitor", breached=breached, reason="there is no champion yet")).show_drift()
    out = capsys.readouterr().out
    assert words in out
    assert out.endswith("there is no champion yet\n")


@pytest.mark.parametrize("lost", [30, 0])
def test_rows_without_a_target_are_counted_in_the_summary(
    home: Path, capsys: pytest.CaptureFixture[str], lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = build_result("train", train_rows=56, rows_without_target=lost)
    monkeypatch.setattr(run, "launch_stage", lambda *_, **__: ResultPointer(
        result_uri=(home / "result.json").as_uri(), digest="", status="succeeded"))  # fmt: skip
    (home / "result.json").write_bytes(result.to_json())
    assert build_run(home, result).run_stage("train")
    out = capsys.readouterr().out
    assert "train rows 56" in out
    assert ("30 rows without a target left out" in out) == bool(lost)
