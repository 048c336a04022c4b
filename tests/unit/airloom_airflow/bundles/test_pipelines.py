"""The bundle keeps one DAG file a pipeline file, and touches no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from tests.unit.airloom_airflow.pipelines import FULL, MINIMAL, write_pipeline

from airloom.errors import ConfigError
from airloom_airflow.bundles import PipelineDagBundle


@pytest.fixture
def make_bundle(pipelines: Path, tmp_path: Path) -> Callable[[], PipelineDagBundle]:
    def make() -> PipelineDagBundle:
        bundle = PipelineDagBundle(name="airloom", pipelines=str(pipelines), refresh_interval=1)
        bundle.base_dir = tmp_path / "bundle"
        bundle.initialize()
        return bundle

    return make


@pytest.fixture
def bundle(make_bundle: Callable[[], PipelineDagBundle]) -> PipelineDagBundle:
    return make_bundle()


def list_stubs(bundle: PipelineDagBundle) -> dict[str, int]:
    """Every DAG file → its time of change."""
    return {str(path.relative_to(bundle.path)): path.stat().st_mtime_ns for path in bundle.path.rglob("*.py")}


def load(bundle: PipelineDagBundle) -> DagBag:
    return DagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name="airloom")


def test_every_pipeline_file_gets_one_dag_file(bundle, pipelines):
    write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two", team="other", file="two.yml")
    (pipelines / "defaults.yaml").write_text("spec: {retries: 1}\n")
    (pipelines / "ops" / "defaults.yaml").write_text("spec: {retries: 2}\n")
    (pipelines / "ops" / "notes.txt").write_text("none of ours")
    bundle.refresh()
    assert set(list_stubs(bundle)) == {"ops/one.yaml.py", "other/two.yml.py"}
    bag = load(bundle)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__one__train", "other__two__train"}
    assert bag.dags["ops__one__train"].get_task("train").retries == 2
    assert bag.dags["ops__one__train"].relative_fileloc == "ops/one.yaml.py"


def test_a_changed_pipeline_rewrites_its_dag_file_alone(bundle, pipelines):
    path = write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two")
    bundle.refresh()
    before = list_stubs(bundle)
    path.write_text(path.read_text() + "  retries: 7\n")
    bundle.refresh()
    after = list_stubs(bundle)
    assert {name for name in after if after[name] != before[name]} == {"ops/one.yaml.py"}
    assert load(bundle).dags["ops__one__train"].get_task("train").retries == 7


def test_nothing_is_rewritten_where_nothing_changed(bundle, make_bundle, pipelines):
    path = write_pipeline(pipelines, "one")
    bundle.refresh()
    before = list_stubs(bundle)
    os.utime(path)  # touched, not changed
    bundle.refresh()
    make_bundle().refresh()  # the DAG processor started anew
    assert list_stubs(bundle) == before


def test_changed_defaults_rewrite_the_dag_files_before_them(bundle, pipelines):
    write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two", team="other")
    bundle.refresh()
    before = list_stubs(bundle)
    (pipelines / "ops" / "defaults.yaml").write_text("spec: {retries: 4}\n")
    bundle.refresh()
    after = list_stubs(bundle)
    assert {name for name in after if after[name] != before[name]} == {"ops/one.yaml.py"}


def test_a_removed_pipeline_takes_its_dag_file_along(bundle, make_bundle, pipelines):
    first, second = write_pipeline(pipelines, "one"), write_pipeline(pipelines, "two")
    write_pipeline(pipelines, "three")
    bundle.refresh()
    first.unlink()
    bundle.refresh()
    assert set(list_stubs(bundle)) == {"ops/three.yaml.py", "ops/two.yaml.py"}
    second.unlink()
    make_bundle().refresh()  # removed while no DAG processor ran
    assert set(list_stubs(bundle)) == {"ops/three.yaml.py"}


def test_one_bad_file_is_one_import_error_that_names_file_and_line(bundle, pipelines):
    write_pipeline(pipelines, "good")
    bad = write_pipeline(pipelines, "bad", text=MINIMAL.replace("estimator:", "estimatr:"))
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    assert set(bag.import_errors) == {"ops/bad.yaml.py"}
    message = bag.import_errors["ops/bad.yaml.py"]
    assert message.startswith(f"{bad}:8:")
    assert "estimatr" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00broken",
        b"a: [",
        b"",
        b"- 1",
        b'x: \'"""\'\n# coding: rot13\n\x0cy: \x85\n',
        b"a: \xe2\x80\xa8b",
        b"\0",
    ],
)
def test_hostile_bytes_give_an_import_error_that_names_the_file(bundle, pipelines, content):
    write_pipeline(pipelines, "good")
    (pipelines / "ops" / "odd.yaml").write_bytes(content)
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    assert str(pipelines / "ops" / "odd.yaml") in bag.import_errors["ops/odd.yaml.py"]


def test_two_files_of_one_name_both_fail_and_name_each_other(bundle, pipelines):
    first = write_pipeline(pipelines, "same", file="a.yaml")
    second = write_pipeline(pipelines, "same", file="b.yaml")
    bundle.refresh()
    bag = load(bundle)
    assert bag.dags == {}
    assert set(bag.import_errors) == {"ops/a.yaml.py", "ops/b.yaml.py"}
    for message in bag.import_errors.values():
        assert str(first) in message
        assert str(second) in message
    second.unlink()
    bundle.refresh()
    bag = load(bundle)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__same__train"}


def test_a_task_does_not_look_at_the_pipeline_files(bundle, pipelines, monkeypatch):
    for number in range(3):
        write_pipeline(pipelines, f"p{number}")

    def refuse(*_: object) -> None:
        raise AssertionError("a task listed the pipeline files")

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    bundle.initialize()
    assert bundle.path.is_dir()


def test_a_folder_that_is_gone_keeps_the_dags(bundle, pipelines):
    path = write_pipeline(pipelines, "one")
    bundle.refresh()
    pipelines.rename(pipelines.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="AIRLOOM_PIPELINES"):
        bundle.refresh()
    assert set(list_stubs(bundle)) == {f"ops/{path.name}.py"}


def test_a_pipelines_every_family_is_loaded(bundle, pipelines):
    write_pipeline(pipelines, "whole", text=FULL)
    bundle.refresh()
    families = {"train", "features", "score", "monitor", "promote", "rollback"}
    assert set(load(bundle).dags) == {f"ops__whole__{family}" for family in families}


def test_a_megabyte_of_nesting_is_one_import_error_and_crashes_nothing(bundle, pipelines):
    write_pipeline(pipelines, "good")
    (pipelines / "ops" / "hostile.yaml").write_text("[" * 999_999)
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    (error,) = bag.import_errors.values()
    assert "hostile.yaml:1:51: nested deeper than 50 levels" in error
