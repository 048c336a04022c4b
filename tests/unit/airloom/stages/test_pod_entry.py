"""How a stage starts and ends in a pod: its context is a variable, its end the last line of its log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airloom.protocol import LineageParent, ResultPointer, StageContext, StageGroup, StageStep
from airloom.protocol.section import Section

FAKE_STAGE = Path(__file__).parents[2] / "airloom_airflow" / "fake_stage.py"


def build_context(folder: Path, stage: str = "ingest", **params: object) -> StageContext:
    return StageContext.model_validate(
        {"team": "ops", "pipeline": "p", "stage": stage, "run_id": "r", "attempt": 1, "spec": {},
         "pipeline_uri": folder.as_uri(), "params": params}
    )  # fmt: skip


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airloom.stages", *arguments],
        env={**os.environ, "AIRLOOM_POD_UID": "token", **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def read(log: str, stage: str, *, shared: bool = True) -> tuple[Section, list[str]]:
    section = Section("token", stage, shared)
    return section, [line for line in log.splitlines() if section.accepts(line)]


def test_a_stage_that_refuses_its_context_still_tells_its_end(tmp_path: Path) -> None:
    context = build_context(tmp_path, "train").to_json().decode()
    done = start("ingest", "--pointer", str(tmp_path / "pointer"), AIRLOOM_STAGE_CONTEXT=context)
    section, _ = read(done.stdout, "ingest", shared=False)
    assert (done.returncode, section.status, section.pointer) == (65, 65, "")
    assert "the context is of stage 'train'" in done.stderr


def test_a_stage_without_a_context_says_where_it_looked(tmp_path: Path) -> None:
    done = start("ingest", "--pointer", str(tmp_path / "pointer"))
    assert done.returncode == 65
    assert "AIRLOOM_STAGE_CONTEXT" in done.stderr


@pytest.fixture
def python(tmp_path: Path) -> str:
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable} -S\n{FAKE_STAGE.read_text()}")
    path.chmod(0o755)
    return str(path)


def start_group(folder: Path, python: str, **params: object) -> subprocess.CompletedProcess[str]:
    group = StageGroup(
        first=build_context(folder, **params),
        rest=(StageStep(stage="train"), StageStep(stage="register")),
    )
    return start("fused", AIRLOOM_STAGE_CONTEXT=group.to_json().decode(), AIRLOOM_STAGE_PYTHON=python)


def test_fused_stages_run_one_after_the_other_each_with_its_own_lines_and_answer(tmp_path: Path, python: str) -> None:
    done = start_group(tmp_path, python)
    assert done.returncode == 0, done.stderr
    for stage in ("ingest", "train", "register"):
        section, lines = read(done.stdout, stage)
        assert lines == [f"fake {stage}: succeed"]
        assert section.status == 0
        assert ResultPointer.from_json(section.pointer).status == "succeeded"


@pytest.mark.parametrize(("behaviour", "status"), [("permanent", 65), ("transient", 75)])
def test_a_fused_stage_that_fails_is_the_last(tmp_path: Path, python: str, behaviour: str, status: int) -> None:
    done = start_group(tmp_path, python, behaviour={"train": behaviour})
    assert done.returncode == status
    assert read(done.stdout, "ingest")[0].status == 0
    failed, _ = read(done.stdout, "train")
    assert failed.status == status
    assert ResultPointer.from_json(failed.pointer).family == behaviour
    assert read(done.stdout, "register")[0].status is None


def test_a_fused_stage_that_is_lost_tells_no_end(tmp_path: Path, python: str) -> None:
    done = start_group(tmp_path, python, behaviour={"train": "lost"})
    assert done.returncode == 137
    assert read(done.stdout, "train")[0].status is None


def test_each_stage_of_a_group_is_told_as_if_it_were_alone(tmp_path: Path) -> None:
    parent = LineageParent(namespace="airloom", name="dag.train", run_id="run")
    first = build_context(tmp_path)
    group = StageGroup(first=first, rest=(StageStep(stage="train", inputs={"ingest": "x"}, lineage_parent=parent),))
    alone, train = StageGroup.from_json(group.to_json()).contexts()
    assert alone == first
    assert (train.stage, train.inputs, train.lineage_parent) == ("train", {"ingest": "x"}, parent)
    assert train.run_uri == first.run_uri


def test_a_pointer_fits_into_a_termination_message() -> None:
    pointer = ResultPointer(
        result_uri="s3://b/" + "x" * 900, digest="sha256:0", status="failed", family="permanent", message="ü\n" * 1000
    )
    text = pointer.to_short_json()
    assert len(text) <= 4096
    short = ResultPointer.from_json(text)
    assert short.message.startswith("ü\nü\n")
    assert short.model_copy(update={"message": pointer.message}) == pointer
