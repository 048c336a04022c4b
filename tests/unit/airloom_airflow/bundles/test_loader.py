"""One small file in an ordinary folder of DAG files loads every pipeline; a bad one takes none of the others away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from tests.unit.airloom_airflow.pipelines import FULL, MINIMAL, write_pipeline

from airloom.errors import ConfigError, SpecError
from airloom_airflow.bundles import load_pipelines
from airloom_airflow.dag_factory.broken import broken_dag_id

LOADER = """\
# DAGs of Airloom's pipeline files
from airloom_airflow.bundles import load_pipelines

globals().update(load_pipelines({root!r}{team}))
"""


@pytest.fixture
def load(tmp_path: Path, pipelines: Path) -> Callable[..., DagBag]:
    """What Airflow makes of a folder with the loader file."""

    def make(team: str | None = None) -> DagBag:
        folder = tmp_path / "dags"
        folder.mkdir(exist_ok=True)
        given = "" if team is None else f", team={team!r}"
        (folder / "pipelines.py").write_text(LOADER.format(root=str(pipelines), team=given))
        return DagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder", safe_mode=True)

    return make


def test_every_pipeline_of_the_folder_is_loaded(load, pipelines):
    write_pipeline(pipelines, "one", text=FULL)
    write_pipeline(pipelines, "two", team="other", file="named_otherwise.yml")
    (pipelines / "defaults.yaml").write_text("spec: {retries: 6}\n")
    bag = load()
    assert bag.import_errors == {}
    families = {f"ops__one__{family}" for family in ("train", "features", "score", "monitor", "promote", "rollback")}
    assert set(bag.dags) == {*families, "other__two__train"}
    assert bag.dags["other__two__train"].get_task("train").retries == 6


def test_a_team_may_have_a_file_of_its_own(load, pipelines):
    write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two", team="other")
    assert set(load("other").dags) == {"other__two__train"}


def test_a_team_without_a_file_is_an_import_error_that_names_those_that_have_one(load, pipelines):
    write_pipeline(pipelines, "one", team="other")
    [told] = load("othr").import_errors.values()
    assert "team 'othr' has no pipeline file" in told
    assert "Did you mean 'other'?" in told


def test_a_bad_pipeline_is_seen_and_takes_no_other_away(load, pipelines):
    write_pipeline(pipelines, "good")
    bad = write_pipeline(pipelines, "bad", text=MINIMAL.replace("estimator:", "estimatr:"))
    bag = load()
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", "ops__bad.yaml__broken"}
    broken = bag.dags["ops__bad.yaml__broken"]
    assert f"{bad}:8:" in broken.doc_md
    assert "estimatr" in broken.description
    assert broken.tags == {"airloom", "broken"}
    assert broken.schedule is None
    with pytest.raises(SpecError, match="estimatr"):
        broken.get_task("broken").execute({})


def test_a_pipeline_that_airflow_itself_refuses_takes_no_other_away(load, pipelines, monkeypatch):
    """An Airflow of another version, say, that does not take what the pipeline file's models let through."""

    def refuse(dag_id: str, *arguments: Any, **options: Any) -> DAG:
        if dag_id.startswith("ops__bad__"):
            raise ValueError("no such DAG with me")
        return DAG(dag_id, *arguments, **options)

    monkeypatch.setattr("airloom_airflow.dag_factory.dag.DAG", refuse)
    write_pipeline(pipelines, "good")
    write_pipeline(pipelines, "bad")
    bag = load()
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", broken_dag_id("ops/bad.yaml")}
    assert "ValueError: no such DAG with me" in bag.dags[broken_dag_id("ops/bad.yaml")].doc_md


@pytest.mark.parametrize(
    "file", ["ops/" + "x" * 250 + ".yaml", os.fsdecode(b"ops/\xff.yaml"), "x.yaml.py/a.yaml", "ops/two\nlines.yaml"]
)
def test_a_name_that_will_not_do_takes_no_other_away(load, pipelines, file):
    write_pipeline(pipelines, "good")
    write_pipeline(pipelines, "odd", file=f"../{file}")
    bag = load()
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", broken_dag_id(file)}
    broken = DagSerialization.from_dict(DagSerialization.to_dict(bag.dags[broken_dag_id(file)]))
    assert "rename" in broken.doc_md or "give it a shorter one" in broken.doc_md
    assert (broken.doc_md + broken.description + broken.dag_id).replace("\n", "").isprintable()


def test_an_executor_that_airflow_has_not_takes_no_other_pipeline_away(load, pipelines):
    write_pipeline(pipelines, "good")
    text = f"{MINIMAL}  airflow: {{{{tasks: {{{{train: {{{{executor: KubernetesExecutor}}}}}}}}}}}}\n"
    bad = write_pipeline(pipelines, "bad", text=text)
    bag = load()
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", "ops__bad.yaml__broken"}
    assert f"{bad}:9:39: spec.airflow.tasks.train.executor" in bag.dags["ops__bad.yaml__broken"].doc_md


def test_a_task_runs_where_its_workers_configuration_names_another_executor(pipelines, in_task):
    """KubernetesExecutor's workers are configured as LocalExecutor's are."""
    text = f"{MINIMAL}  airflow: {{{{tasks: {{{{train: {{{{executor: KubernetesExecutor}}}}}}}}}}}}\n"
    write_pipeline(pipelines, "one", text=text)
    in_task("ops__one__train")
    assert set(load_pipelines(pipelines)) == {"ops__one__train"}


def test_a_copy_is_the_one_that_is_seen_as_broken(load, pipelines):
    write_pipeline(pipelines, "same")
    write_pipeline(pipelines, "same", file="a_copy.yaml")
    bag = load()
    assert set(bag.dags) == {"ops__same__train", "ops__a_copy.yaml__broken"}
    assert "keeps its DAGs" in bag.dags["ops__a_copy.yaml__broken"].doc_md


def test_a_task_builds_its_own_dag_alone_and_looks_at_no_other_file(load, pipelines, in_task, monkeypatch):
    for name in ("one", "two"):
        write_pipeline(pipelines, name, text=FULL)
    bag = load()
    assert len(bag.dags) == 12
    in_task("ops__two__monitor")

    def refuse(*_: object) -> None:
        raise AssertionError("a task listed the pipeline files")

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert set(load_pipelines(pipelines)) == {"ops__two__monitor"}


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ("ops__bad.yaml__broken", {"ops__bad.yaml__broken"}),
        ("ops__gone__train", set()),
        ("somebodys_own", set()),
    ],
)
def test_a_task_of_another_dag_gets_no_pipelines(pipelines, in_task, wanted, made):
    write_pipeline(pipelines, "good")
    write_pipeline(pipelines, "bad", text="a: [")
    in_task(wanted)
    assert set(load_pipelines(pipelines)) == made


def test_the_janitor_comes_along_where_stages_are_pods(pipelines, in_task, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRLOOM_RUNTIME", "kubernetes")
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
    assert set(load_pipelines(pipelines)) == {"airloom__janitor"}
    write_pipeline(pipelines, "one")
    assert set(load_pipelines(pipelines, team="ops")) == {"ops__one__train"}
    in_task("airloom__janitor")
    assert set(load_pipelines(pipelines)) == {"airloom__janitor"}


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="is not there"):
        load_pipelines(tmp_path / "nowhere")


@pytest.mark.parametrize("file", ["ops/a b.yaml", "ops/ä.yaml", "a__b.yaml", "ops/x.yaml"])
def test_a_broken_files_dag_has_an_id_of_its_own_that_airflow_takes(file):
    from airflow.sdk import DAG

    assert DAG(broken_dag_id(file)).dag_id == broken_dag_id(file)
    assert len({broken_dag_id(other) for other in (file, "ops/a-b.yaml", "ops/-.yaml")}) == 3


def test_loading_patches_nothing_of_airflow_and_needs_no_git():
    program = "import sys, airloom_airflow.bundles.loader; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "airloom_airflow.bundles.claims" in loaded
    patches = {"executor", "triggerer", "trigger_log", "trigger_log_channel", "version_index"}
    assert not loaded & {"git", *(f"airloom_airflow.speedups.{name}" for name in patches)}


def test_a_teams_file_has_its_pipelines_that_lie_in_the_root(load, pipelines, caplog):
    write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two", file="../two.yaml")
    write_pipeline(pipelines, "two", file="../copy.yaml")
    write_pipeline(pipelines, "three", text=MINIMAL.replace(", team: {team}", ""), file="../three.yaml")
    write_pipeline(pipelines, "four", team="ml", file="../four.yaml")
    (pipelines / "defaults.yaml").write_text("metadata: {team: ops}\n")
    dags = {"ops__one__train", "ops__two__train", "ops__three__train", broken_dag_id("copy.yaml")}
    assert set(load("ops").dags) == dags
    assert set(load("ml").dags) == {"ml__four__train"}
    assert "makes no DAGs for team" not in caplog.text
    [told] = load("mll").import_errors.values()
    assert "there are files of: ml, ops. Did you mean 'ml'?" in told


def test_a_file_in_the_root_that_is_no_teams_is_told_to_the_log(pipelines, caplog):
    write_pipeline(pipelines, "one")
    (pipelines / "bad.yaml").write_text("metadata: [\n")
    assert set(load_pipelines(pipelines, team="ops")) == {"ops__one__train"}
    assert f"Pipeline file {pipelines}/bad.yaml makes no DAGs for team ops" in caplog.text
    assert broken_dag_id("bad.yaml") in load_pipelines(pipelines)


def test_a_name_with_a_blank_is_seen_as_broken(load, pipelines):
    write_pipeline(pipelines, '"iris "', file="iris.yaml")
    assert set(load().dags) == {broken_dag_id("ops/iris.yaml")}
