"""`airloom doctor`: seeded mistakes of an installation, each found with its place and remedy; how it is told."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airloom.cli import main
from airloom.cli.doctor import examine, format_diagnosis
from airloom.diagnosis import Diagnosis, wrong
from airloom.doctor.airflow import is_embedded
from airloom.telemetry import SWITCHES

PIPELINE = """\
apiVersion: airloom.io/v1
kind: Pipeline
metadata: {name: p}
spec:
  data: {sources: {rows: {type: csv, path: rows.csv}}}
  train: {target: y, task: regression, estimator: sklearn.linear_model.Ridge}
  deploy: {target: gateway}
"""


class Server(BaseHTTPRequestHandler):
    """Answers as the gateway, MLflow's registry and a lineage receiver do when they are well."""

    def do_GET(self) -> None:
        content = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def find_closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """An installation on this machine in which all is right until a test spoils it."""

    folder: Path
    environ: dict[str, str]
    pipeline: Path
    rows: Path
    taken: list[socket.socket] = field(default_factory=list)

    def rewrite(self, old: str, new: str) -> None:
        text = self.pipeline.read_text()
        assert old in text
        self.pipeline.write_text(text.replace(old, new))

    def set(self, **variables: str) -> None:
        self.environ |= variables

    def write_airflow(self, script: str) -> None:
        """What stands for Airflow's Python: it prints what the Airflow side would."""
        binaries = self.folder / "airflow"
        binaries.mkdir(exist_ok=True)
        for name in ("airflow", "python"):
            program = binaries / name
            program.unlink(missing_ok=True)
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    def answer_as_airflow(self, *diagnoses: Diagnosis, folders: dict[str, str] | None = None) -> None:
        """What the Airflow side prints."""
        answer = {"folders": folders, "diagnoses": [diagnosis.to_json() for diagnosis in diagnoses]}
        self.write_airflow(f"echo '{json.dumps(answer)}'")

    def wrongs(self) -> list[Diagnosis]:
        return [diagnosis for diagnosis in examine(self.environ) if diagnosis.verdict == "wrong"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    pipeline, rows = tmp_path / "pipelines" / "ops" / "p.yaml", tmp_path / "rows.csv"
    pipeline.parent.mkdir(parents=True)
    pipeline.write_text(PIPELINE)
    rows.write_text("x,y\n1,2\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    environ = {
        "AIRLOOM_HOME": str(tmp_path / "home"),
        "AIRLOOM_DATA_ROOT": str(tmp_path),
        "AIRLOOM_PIPELINES": str(tmp_path / "pipelines"),
        "AIRLOOM_GATEWAY_URL": address,
        "AIRLOOM_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "AIRLOOM_AIRFLOW_BIN": str(tmp_path / "airflow" / "airflow"),
        "OPENLINEAGE_URL": address,
        **{f"AIRLOOM_{piece}_PORT": "0" for piece in ("AIRFLOW", "MLFLOW", "GATEWAY")},
    }
    world = World(tmp_path, environ, pipeline, rows)
    world.answer_as_airflow()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield world
    for holder in world.taken:
        holder.close()
    server.shutdown()
    server.server_close()


def test_an_installation_in_which_all_is_right_has_nothing_else_to_tell(world: World) -> None:
    found = list(examine(world.environ))
    assert [diagnosis for diagnosis in found if diagnosis.verdict != "right"] == []
    assert {diagnosis.check for diagnosis in found} == {
        "settings", "pipeline files", "libraries", "object store", "lineage", "ports", "MLflow", "gateway"
    }  # fmt: skip
    assert not list((world.folder / "home" / "artifacts").iterdir())


def take_a_port(world: World) -> None:
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    world.taken.append(holder)
    world.set(AIRLOOM_MLFLOW_PORT=str(holder.getsockname()[1]))


def write_twin(world: World) -> None:
    (world.pipeline.parent / "a.yaml").write_text(PIPELINE)  # before the other, which bears the name


def make_a_file_of_the_home(world: World) -> None:
    (world.folder / "file").touch()
    world.set(AIRLOOM_HOME=str(world.folder / "file" / "home"), AIRLOOM_ARTIFACTS_URI=f"file://{world.folder}/a",
              AIRLOOM_LINEAGE_PATH="")  # fmt: skip


def cut_the_state_off(world: World) -> None:
    (world.folder / "home").mkdir()
    (world.folder / "home" / "runtime.json").write_text('{"pid": 12')


def lose_the_bucket(world: World) -> None:
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{find_closed_port()}"
    world.set(AIRLOOM_ARTIFACTS_URI="s3://gone/airloom")


SEEDS: dict[str, tuple[Callable[[World], Any], str, str, str]] = {
    "relative path": (lambda w: w.set(AIRLOOM_HOME="build"), "settings", "AIRLOOM_HOME is 'build'", "Give an absolute"),
    "runtime unknown": (lambda w: w.set(AIRLOOM_RUNTIME="docker"), "settings", "'docker'", "Give subprocess"),
    "cluster file not named": (
        lambda w: w.set(AIRLOOM_RUNTIME="kubernetes"),
        "settings", "AIRLOOM_RUNTIME is kubernetes", "AIRLOOM_CLUSTER_FILE"
    ),
    "environment unknown": (
        lambda w: w.set(AIRLOOM_ENVIRONMENT="prod"), "settings", "no pipeline or defaults file", "leave it unset"
    ),
    "home not writable": (make_a_file_of_the_home, "settings", "cannot be written", "AIRLOOM_HOME"),
    "no folder of pipelines": (
        lambda w: w.set(AIRLOOM_PIPELINES="/nowhere"), "pipeline files", "is not there", "AIRLOOM_PIPELINES"
    ),
    "pipeline not valid": (
        lambda w: w.rewrite("estimator", "estimater"), "pipeline files", "did you mean 'estimator'?", "airloom validate"
    ),
    "two pipelines of a name": (
        write_twin, "pipeline files", "given 'p', which is the pipeline of", "a metadata.name of its own"
    ),
    "no pipeline": (lambda w: w.pipeline.unlink(), "pipeline files", "holds no pipeline files", "airloom init"),
    "data file missing": (lambda w: w.rows.unlink(), "sources", "there is no file", "AIRLOOM_DATA_ROOT"),
    "secret missing": (
        lambda w: w.rewrite("{type: csv, path: rows.csv}", "{type: sql, query: SELECT 1, database: {secret: dwh}}"),
        "secrets", "secret 'dwh' is not set", "AIRLOOM_SECRET_DWH"
    ),
    "package missing": (
        lambda w: w.rewrite("{type: csv, path: rows.csv}", "{type: package, package: no_such_data, path: x.csv}"),
        "libraries", "no Python package no_such_data", "pip install no_such_data"
    ),
    "estimator's library missing": (
        lambda w: w.rewrite("sklearn.linear_model.Ridge", "no_such_boost.Model"),
        "libraries", "no Python package no_such_boost", "pip install no_such_boost"
    ),
    "estimator misspelt": (
        lambda w: w.rewrite("linear_model.Ridge", "linear_model.Rigde"),
        "libraries", "did you mean Ridge", "Mend the name"
    ),
    "stages' Python missing": (
        lambda w: w.set(AIRLOOM_STAGE_PYTHON="/nowhere/python"), "libraries", "/nowhere/python is not there", "airloom"
    ),
    "artifacts of an unknown kind": (
        lambda w: w.set(AIRLOOM_ARTIFACTS_URI="ftp://x/y"),
        "object store", "no object store has", "AIRLOOM_ARTIFACTS_URI"
    ),
    "object store away": (lose_the_bucket, "object store", "does not answer", "AWS_"),
    "MLflow away": (
        lambda w: w.set(AIRLOOM_TRACKING_URI=f"http://127.0.0.1:{find_closed_port()}"),
        "MLflow", "does not answer", "AIRLOOM_TRACKING_URI"
    ),
    "gateway away": (
        lambda w: w.set(AIRLOOM_GATEWAY_URL=f"http://127.0.0.1:{find_closed_port()}"),
        "gateway", "ops.p deploy to it", "AIRLOOM_GATEWAY_URL"
    ),
    "lineage receiver away": (
        lambda w: w.set(OPENLINEAGE_URL=f"http://127.0.0.1:{find_closed_port()}"),
        "lineage", "does not answer", "OPENLINEAGE_URL"
    ),
    **{
        f"lineage path {name}": (
            lambda w, path=path: w.environ.pop("OPENLINEAGE_URL") and w.set(AIRLOOM_LINEAGE_PATH=path),
            "lineage", words, "AIRLOOM_LINEAGE_PATH"
        )
        for name, path, words in (
            ("below no folder", "/dev/null/lineage.jsonl", "/dev/null is no folder that this user can write"),
            ("far below no folder", "/dev/null/a/b.jsonl", "/dev/null is no folder that this user can write"),
            ("is a folder", "/tmp", "/tmp is a folder"),
            ("too long", f"/tmp/{'x' * 300}/a.jsonl", "File name too long"),
            ("too long itself", f"/tmp/{'x' * 300}", "File name too long"),
        )
    },
    "MLflow's file below no folder": (
        lambda w: w.set(AIRLOOM_TRACKING_URI="sqlite:////dev/null/mlflow.db"),
        "MLflow", "/dev/null is no folder", "AIRLOOM_TRACKING_URI"
    ),
    "runtime.json cut off": (cut_the_state_off, "ports", "runtime.json cannot be read", "remove the file"),
    "port taken": (take_a_port, "ports", "is in use by", "AIRLOOM_…_PORT"),
    "Airflow missing": (
        lambda w: w.set(AIRLOOM_AIRFLOW_BIN="/nowhere/airflow"),
        "Airflow", "/nowhere/airflow is not there", "Set AIRLOOM_AIRFLOW_BIN"
    ),
    "airloom-airflow missing": (
        lambda w: w.write_airflow("echo \"/x: No module named 'airloom_airflow'\" >&2; exit 1"),
        "Airflow", "airloom-airflow is not installed", "-m pip install airloom-airflow"
    ),
    "Airflow side breaks": (
        lambda w: w.write_airflow("echo 'ImportError: broken' >&2; exit 1"), "Airflow", "ImportError: broken", "by hand"
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_mistake_is_found_with_its_place_and_remedy(
    world: World, seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")  # so that what a seed sets is undone
    spoil, check, words, remedy = SEEDS[seed]
    spoil(world)
    wrongs = world.wrongs()
    assert [diagnosis.check for diagnosis in wrongs] == [check]
    assert words in wrongs[0].message
    assert remedy in wrongs[0].remedy
    assert wrongs[0].where


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let libraries not be installed."""
    find = importlib.metadata.version

    def version(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    ("section", "extra"),
    [
        ("features: {views: {v: {entity: x, columns: [z]}}}", "feast"),
        ("monitor: {drift: {}}", "evidently"),
    ],
)
def test_a_missing_extra_is_told_with_its_pip_command(
    world: World, section: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, extra)
    world.pipeline.write_text(f"{PIPELINE}  {section}\n")
    (found,) = world.wrongs()
    assert f"spec.{section.partition(':')[0]}" in found.message
    assert found.where == f"airloom[{extra}]"
    assert found.remedy == f"{sys.executable} -m pip install 'airloom[{extra}]'"


def test_one_command_brings_all_that_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "feast", "evidently", "boto3")
    world.pipeline.write_text(
        f"{PIPELINE}  features: {{views: {{v: {{entity: x, columns: [z]}}}}}}\n  monitor: {{drift: {{}}}}\n"
    )
    found = world.wrongs()
    assert {diagnosis.where for diagnosis in found} == {"airloom[feast]", "airloom[evidently]"}
    assert {diagnosis.remedy for diagnosis in found} == {f"{sys.executable} -m pip install 'airloom[evidently,feast]'"}


def test_what_is_there_is_told_with_its_version_and_what_nobody_needs_is_no_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "feast")
    told = {found.where: found for found in examine(world.environ) if found.check == "libraries"}
    assert told["airloom[duckdb]"].message.startswith(f"duckdb {importlib.metadata.version('duckdb')}, pandas ")
    assert "no pipeline needs feast, and they are not installed" in told[sys.prefix].message
    assert {found.verdict for found in told.values()} == {"right"}


def test_an_airflow_that_nothing_speaks_of_is_not_missed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(world.folder / "stages"))
    monkeypatch.setattr(sys, "executable", str(world.folder / "stages" / "bin" / "python"))
    del world.environ["AIRLOOM_AIRFLOW_BIN"]
    (found,) = (found for found in examine(world.environ) if found.check == "Airflow")
    assert found.verdict == "not checked"
    assert "`airloom up` does" in found.message
    assert f"{world.folder}/airflow/bin/pip install 'airloom-airflow==" in found.remedy
    world.set(AIRFLOW_HOME=str(world.folder))
    (found,) = (found for found in examine(world.environ) if found.check == "Airflow")
    assert found.verdict == "wrong"


def test_what_airloom_up_has_not_started_yet_is_not_checked(world: World) -> None:
    del world.environ["AIRLOOM_TRACKING_URI"], world.environ["AIRLOOM_GATEWAY_URL"]
    found = [diagnosis for diagnosis in examine(world.environ) if diagnosis.verdict == "not checked"]
    assert {diagnosis.check for diagnosis in found} == {"MLflow", "gateway"}
    assert all("airloom up" in diagnosis.remedy for diagnosis in found)


def test_a_batch_that_has_not_arrived_is_not_checked(world: World) -> None:
    world.rewrite("{type: csv, path: rows.csv}", "{type: batches, path: landing/*.parquet}")
    (found,) = (diagnosis for diagnosis in examine(world.environ) if diagnosis.verdict != "right")
    assert (found.check, found.verdict) == ("sources", "not checked")


def test_an_environment_of_stages_alone_has_no_fault_for_want_of_airflow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world.environ["AIRLOOM_AIRFLOW_BIN"]
    monkeypatch.setattr(sys, "prefix", str(world.folder / "stages"))
    monkeypatch.setattr(sys, "executable", str(world.folder / "stages" / "bin" / "python"))
    (found,) = (diagnosis for diagnosis in examine(world.environ) if diagnosis.verdict != "right")
    assert (found.check, found.verdict) == ("Airflow", "not checked")
    assert "in its environment too" in found.remedy


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("mine.training:fit", None),
        ("mine.trainin:fit", "has no trainin"),
        ("mine.training:fitt", "mine.training has no fitt; it has: FOREST, fit"),
        ("mine.training.deep:fit", "mine.training is no package"),
        ("mine.late:anything", None),
    ],
)
def test_an_entry_point_is_looked_for_whole_and_not_run(world: World, entrypoint: str, words: str | None) -> None:
    (world.folder / "mine").mkdir()
    (world.folder / "mine" / "training.py").write_text('"""Mine."""\nFOREST = 1 / 0\ndef fit(): ...\n')
    (world.folder / "mine" / "late.py").write_text("from elsewhere import *\n")
    world.rewrite("estimator: sklearn.linear_model.Ridge", f'entrypoint: "{entrypoint}"')
    wrongs = world.wrongs()
    assert len(wrongs) == bool(words)
    if words:
        assert words in wrongs[0].message
        assert wrongs[0].where == f"{world.pipeline}: spec.train.entrypoint"


def test_files_of_pods_are_not_checked_though_one_of_the_name_is_here(world: World) -> None:
    cluster = world.folder / "cluster.yaml"
    cluster.write_text("apiVersion: airloom.io/v1\nkind: Cluster\nspec: {images: {cpu: r.example/cpu:1}}\n")
    world.set(AIRLOOM_RUNTIME="kubernetes", AIRLOOM_CLUSTER_FILE=str(cluster))
    (found,) = (diagnosis for diagnosis in examine(world.environ) if diagnosis.check == "sources")
    assert (found.verdict, found.where) == ("not checked", f"{world.pipeline}: spec.data.sources.rows")
    assert "a volume or the image" in found.remedy


def test_stages_of_another_python_are_checked_by_that_one(world: World) -> None:
    other = world.folder / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    world.set(AIRLOOM_STAGE_PYTHON=str(other))
    world.rewrite("linear_model.Ridge", "linear_model.Rigde")
    (found,) = world.wrongs()
    assert (found.check, found.where) == ("libraries", f"{world.pipeline}:6:51")
    assert "did you mean Ridge" in found.message


def test_a_stages_python_that_cannot_be_asked_is_not_checked(world: World) -> None:
    other = world.folder / "python"
    other.write_text("#!/bin/sh\necho 'No module named airloom' >&2; exit 1\n")
    other.chmod(0o755)
    world.set(AIRLOOM_STAGE_PYTHON=str(other))
    (found,) = (diagnosis for diagnosis in examine(world.environ) if diagnosis.verdict != "right")
    assert (found.check, found.verdict) == ("libraries", "not checked")
    assert "No module named airloom" in found.message
    assert f"{other} -m airloom.doctor.libraries" in found.remedy


def test_the_airflow_sides_diagnoses_are_told_with_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = wrong("rights", "namespace airloom-ops", "may not watch pods", "Grant it.")
    world.answer_as_airflow(theirs)
    for name, value in world.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["wrong"], told["not_checked"]) == (1, 0)
    assert told["diagnoses"][-1] == theirs.to_json()
    world.answer_as_airflow()
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("looked at: 0 wrong, 0 not checked")


def test_the_airflow_side_looks_into_the_same_folders_where_no_variable_names_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("AIRLOOM_HOME", "AIRLOOM_DATA_ROOT", "AIRLOOM_PIPELINES")
    for name in names:
        world.environ.pop(name, None)
        monkeypatch.delenv(name, raising=False)
    (world.folder / "dags").mkdir()
    (world.folder / "pipelines").rename(world.folder / "dags" / "pipelines")
    monkeypatch.chdir(world.folder)
    said = "; ".join(f"${name}" for name in names)
    diagnosis = {"check": "x", "verdict": "right", "where": "here", "message": said}
    answer = json.dumps({"folders": None, "diagnoses": [diagnosis]}).replace('"', '\\"')
    world.write_airflow(f'echo "{answer}"')
    *ours, theirs = examine(world.environ)
    assert any("1 valid: ops.p" in diagnosis.message for diagnosis in ours)
    assert theirs.message == f"{world.folder}/build/airloom; {world.folder}; {world.folder}/dags/pipelines"


def test_pipeline_files_are_those_that_airflows_bundles_read(world: World) -> None:
    elsewhere = world.folder / "copies" / "airloom" / "bucket"
    (elsewhere / "ops").mkdir(parents=True)
    world.pipeline.rename(elsewhere / "ops" / "q.yaml")
    (world.folder / "pipelines" / "ops").rmdir()
    (world.folder / "pipelines").rmdir()
    (elsewhere / "ops" / "bad.yaml").write_text("a: [")
    world.answer_as_airflow(folders={str(elsewhere): "s3://models/pipelines"})
    found = [diagnosis for diagnosis in examine(world.environ) if diagnosis.check == "pipeline files"]
    assert [(each.verdict, each.where) for each in found] == [
        ("wrong", "s3://models/pipelines/ops/bad.yaml:1:5"),
        ("right", "s3://models/pipelines"),
    ]
    assert found[0].remedy == "Mend the file; `airloom validate s3://models/pipelines/ops/bad.yaml` checks it."


def test_where_the_bundles_pipeline_files_cannot_be_had_no_other_folder_is_looked_into(world: World) -> None:
    theirs = wrong("pipeline files", "bundle airloom", "the remote does not answer", "Mend it.")
    world.answer_as_airflow(theirs, folders={})
    assert [diagnosis for diagnosis in examine(world.environ) if diagnosis.check == "pipeline files"] == [theirs]


def test_a_folder_that_nothing_says_is_used_is_not_missed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    del world.environ["AIRLOOM_PIPELINES"]
    world.set(AIRFLOW_HOME=str(world.folder))
    monkeypatch.chdir(world.folder)
    (found,) = (diagnosis for diagnosis in examine(world.environ) if diagnosis.check == "pipeline files")
    assert (found.verdict, found.where) == ("not checked", f"{world.folder}/dags/pipelines")
    assert "load_pipelines" in found.remedy


def test_a_diagnosis_is_told_in_lines_of_the_width_given() -> None:
    found = wrong("object store", "s3://bucket/prefix", "it does not answer " * 8, "Start it, " * 12)
    lines = list(format_diagnosis(found, 80))
    assert lines[0].startswith("WRONG object store: s3://bucket/prefix: it does not")
    assert any(line.startswith("      -> Start it,") for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_doctor_itself_needs_no_extra(world: World) -> None:
    without = ("httpx", "mlflow", "boto3", "duckdb", "pandas", "fastapi", "openlineage")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({without!r})); from airloom.cli import main; "
        "sys.exit(main(['doctor', '--json']))"
    )
    world.set(AIRLOOM_TRACKING_URI="http://127.0.0.1:1")
    environ = {**os.environ, **world.environ}
    told = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    wrongs = [found for found in json.loads(told.stdout)["diagnoses"] if found["verdict"] == "wrong"]
    assert [found["check"] for found in wrongs] == ["MLflow"]
    assert "pip install 'airloom[mlflow]'" in wrongs[0]["message"]


def test_an_airflow_of_ones_own_is_known_by_its_settings_and_not_by_our_switches() -> None:
    assert is_embedded({"PATH": "/bin", **SWITCHES})
    assert not is_embedded({"AIRFLOW_HOME": "/opt/airflow"})
    assert not is_embedded({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"})
