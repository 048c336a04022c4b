"""The bundle keeps one DAG file a pipeline file, and touches no other."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag
from tests.unit.airloom_airflow.pipelines import FULL, MINIMAL, write_pipeline

from airloom.errors import ConfigError
from airloom_airflow.bundles import PipelineDagBundle
from airloom_airflow.bundles.dag_files import DagFiles, find_root

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def make_bundle(database, pipelines: Path, tmp_path: Path, storage) -> Callable[..., PipelineDagBundle]:
    storage(tmp_path)

    def make(initialize: bool = True) -> PipelineDagBundle:
        bundle = PipelineDagBundle(name="airloom", pipelines=str(pipelines), refresh_interval=1)
        if initialize:
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


def test_defaults_under_another_name_are_the_import_error_of_those_that_they_would_be_behind(bundle, pipelines):
    write_pipeline(pipelines, "one")
    write_pipeline(pipelines, "two", team="other")
    bundle.refresh()
    before = list_stubs(bundle)
    misnamed = pipelines / "ops" / "defaults.yml"
    misnamed.write_text("spec: {retries: 4}\n")
    bundle.refresh()
    assert {name for name, time in list_stubs(bundle).items() if time != before[name]} == {"ops/one.yaml.py"}
    bag = load(bundle)
    assert set(bag.dags) == {"other__two__train"}
    assert bag.import_errors["ops/one.yaml.py"].startswith(f"{misnamed}: is not read: defaults lie in defaults.yaml")
    misnamed.unlink()
    bundle.refresh()
    assert load(bundle).import_errors == {}


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


def test_a_cron_that_airflow_refuses_is_an_import_error_with_its_place(bundle, pipelines):
    path = write_pipeline(pipelines, "odd", text=FULL.replace("@weekly", "99 * * * *"))
    bundle.refresh()
    [message] = load(bundle).import_errors.values()
    assert message.startswith(f"{path}:5:3: spec.schedule: given '99 * * * *', which is no cron")


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


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("ops/" + "x" * 236 + ".yaml", "its name has 241 bytes, and 240 are allowed; give it a shorter one"),
        ("ops/" + "\N{SNOWMAN}" * 83 + ".yaml", "its name has 254 bytes, and 240 are allowed"),
        ("x" * 250 + ".yaml", "its name has 255 bytes, and 240 are allowed"),
        ("q.yaml/z.yaml", "its folder 'q.yaml' is no team's name; rename the folder"),
        ("x.yaml.py/z.yaml", "its folder 'x.yaml.py' is no team's name; rename the folder"),
        (os.fsdecode(b"ops/caf\xe9.yaml"), "its name is not UTF-8, or holds characters that cannot be shown"),
        (os.fsdecode(b"te\xffam/a.yaml"), "its name is not UTF-8, or holds characters that cannot be shown"),
        ("ops/two\nlines\x1b[1m.yaml", "its name is not UTF-8, or holds characters that cannot be shown"),
    ],
)
def test_a_name_that_will_not_do_costs_its_own_file_alone(bundle, make_bundle, pipelines, file, words):
    write_pipeline(pipelines, "good")
    write_pipeline(pipelines, "x", file="../x.yaml")
    bundle.refresh()
    odd = write_pipeline(pipelines, "odd", file=f"../{file}")
    for processor in (bundle, make_bundle()):  # the latter: started anew
        processor.refresh()
        bag = load(processor)
        assert set(bag.dags) == {"ops__good__train", "ops__x__train"}
        errors = {stub: message for stub, message in bag.import_errors.items() if "Is a directory" not in message}
        [(stub, message)] = errors.items()
        assert stub.startswith("_refused/")
        assert words in message
        assert message.isprintable()
        assert stub.isprintable()
    odd.unlink()
    if odd.parent.name == "q.yaml":
        odd.parent.rmdir()
    bundle.refresh()
    assert set(list_stubs(bundle)) == {"ops/good.yaml.py", "x.yaml.py"}


def test_a_name_as_long_as_it_may_be_is_taken(bundle, pipelines):
    write_pipeline(pipelines, "long", file="x" * 235 + ".yaml")
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__long__train"}


@pytest.mark.parametrize("folder", ["q.yaml", "x.yaml.py", "ops/deep.yaml"])
def test_a_folder_named_like_a_file_stops_no_refresh(bundle, pipelines, folder):
    write_pipeline(pipelines, "good")
    write_pipeline(pipelines, "x", file="../x.yaml")
    (pipelines / folder).mkdir()
    (bundle.path / "left.py").mkdir()
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__good__train", "ops__x__train"}


def test_a_tasks_dag_is_found_beside_names_that_will_not_do(make_bundle, pipelines, in_task):
    write_pipeline(pipelines, "p", file="other.yaml")
    for file in ("x" * 240 + ".yaml", os.fsdecode(b"\xff.yaml")):
        write_pipeline(pipelines, "p", file=file)
    in_task("ops__p__train")
    assert set(load(make_bundle()).dags) == {"ops__p__train"}


def test_links_in_a_circle_are_one_import_error(bundle, pipelines):
    write_pipeline(pipelines, "good")
    (pipelines / "ops" / "circle.yaml").symlink_to("circle.yaml")
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    assert [Path(file).name for file in bag.import_errors] == ["circle.yaml.py"]
    assert "cannot be read" in next(iter(bag.import_errors.values()))


@pytest.mark.parametrize(("folder", "kept"), [("lost+found", True), ("other", False)])
def test_only_a_teams_folder_must_be_readable(bundle, pipelines, monkeypatch, folder, kept):
    """Whoever runs the tests may be root, who may read everything: the refusal is the operating system's, played."""
    write_pipeline(pipelines, "good")
    (pipelines / folder).mkdir()
    scan = os.scandir

    def refuse(place):
        if Path(place).name == folder:
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    if kept:
        bundle.refresh()
        assert set(list_stubs(bundle)) == {"ops/good.yaml.py"}
    else:
        with pytest.raises(PermissionError):
            bundle.refresh()


def test_a_tasks_dag_file_is_made_on_a_disk_that_never_saw_a_refresh(make_bundle, pipelines, in_task, monkeypatch):
    for number in range(3):
        write_pipeline(pipelines, f"p{number}", text=FULL)

    def refuse(*_: object) -> None:
        raise AssertionError("a task listed the pipeline files")

    in_task("ops__p1__monitor")
    bundle = make_bundle(initialize=False)
    with monkeypatch.context() as patches:
        patches.setattr(os, "scandir", refuse)
        patches.setattr(Path, "iterdir", refuse)
        bundle.initialize()
    assert set(list_stubs(bundle)) == {"ops/p1.yaml.py"}
    assert set(load(bundle).dags) == {"ops__p1__monitor"}


@pytest.mark.parametrize("file", ["p.yml", "other.yaml", "../p.yaml", "../other.yml"])
def test_a_tasks_file_is_found_wherever_it_may_lie(make_bundle, pipelines, in_task, file):
    write_pipeline(pipelines, "p", file=file)
    write_pipeline(pipelines, "q")
    in_task("ops__p__train")
    bundle = make_bundle()
    assert len(list_stubs(bundle)) == 1
    assert set(load(bundle).dags) == {"ops__p__train"}


def test_a_tasks_dag_file_is_the_one_that_airflow_knows_where_copies_lie_about(make_bundle, pipelines, in_task):
    """Of two that bear other names Airflow has the DAG from one, which the worker cannot know: it makes both."""
    write_pipeline(pipelines, "p", file="a.yaml")
    write_pipeline(pipelines, "p", file="b.yaml")
    in_task("ops__p__train")
    bundle = make_bundle()
    for file in ("a.yaml.py", "b.yaml.py"):
        bag = DagBag(dag_folder=bundle.path / "ops" / file, bundle_path=bundle.path, bundle_name="airloom")
        assert set(bag.dags) == {"ops__p__train"}


@pytest.mark.parametrize("dag_id", ["ops__gone__train", "somebodys_own", "../x__p__train", "airloom__janitor"])
def test_a_task_of_no_pipeline_makes_no_dag_file(make_bundle, pipelines, in_task, dag_id):
    write_pipeline(pipelines, "p")
    in_task(dag_id)
    assert list_stubs(make_bundle()) == {}


def test_the_janitors_task_finds_its_dag_on_a_fresh_disk(make_bundle, in_task, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRLOOM_RUNTIME", "kubernetes")
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
    in_task("airloom__janitor")
    assert set(load(make_bundle()).dags) == {"airloom__janitor"}


def test_what_wants_no_dag_makes_none(bundle, pipelines):
    write_pipeline(pipelines, "p")
    bundle.initialize()
    assert list_stubs(bundle) == {}


def test_a_broken_pipeline_says_so_in_the_log_of_its_task(make_bundle, pipelines, in_task):
    bad = write_pipeline(pipelines, "bad", text="a: [")
    in_task("ops__bad__train")
    [error] = load(make_bundle()).import_errors.values()
    assert error.startswith(f"{bad}:1:")


def test_a_task_changes_nothing_that_it_finds(bundle, make_bundle, pipelines, in_task):
    write_pipeline(pipelines, "p")
    copy = write_pipeline(pipelines, "p", file="copy.yaml")
    bundle.refresh()
    before = list_stubs(bundle)
    copy.write_text(copy.read_text() + "  retries: 7\n")
    in_task("ops__p__train")
    make_bundle()
    assert list_stubs(bundle) == before


def test_a_tasks_dag_file_of_an_earlier_release_is_made_anew(make_bundle, pipelines, in_task):
    write_pipeline(pipelines, "p")
    in_task("ops__p__train")
    bundle = make_bundle()
    old = bundle.path / "ops" / "p.yaml.py"
    old.write_text("# An Airflow DAG file that Airloom made from a pipeline file\nraise ImportError('gone')\n")
    make_bundle()
    assert set(load(bundle).dags) == {"ops__p__train"}


def test_neither_dag_file_nor_dag_depends_on_where_the_folders_lie(database, tmp_path, storage):
    from airflow.serialization.serialized_objects import DagSerialization

    made = []
    for place in ("one", "another/place"):
        root = tmp_path / place / "pipelines"
        write_pipeline(root, "whole", text=FULL)
        storage(tmp_path / place / "storage")
        bundle = PipelineDagBundle(name="airloom", pipelines=str(root))
        bundle.initialize()
        bundle.refresh()
        dags = load(bundle).dags
        texts = {dag_id: str(DagSerialization.to_dict(dag)).replace(dag.fileloc, "") for dag_id, dag in dags.items()}
        assert len(texts) == 6
        made.append((texts, (bundle.path / "ops" / "whole.yaml.py").read_text()))
    assert str(tmp_path) not in str(made)
    assert made[0] == made[1]


def open_and_read(home: Path, pipelines: Path, name: str) -> None:
    """What a task does at its start, many times; ends the process with 1 where something is torn or missing."""
    for _ in range(300):
        files = DagFiles(home, "airloom", None, has_janitor=True)
        files.open(pipelines, f"ops__{name}__train")
        text = (files.path / "ops" / f"{name}.yaml.py").read_text()
        compile(text, name, "exec")
        assert text.endswith("))\n"), text
        assert find_root(files.path) == pipelines


def test_tasks_and_the_dag_processor_may_work_on_one_disk_at_once(make_bundle, pipelines, tmp_path):
    """Every task finds its own file whole, whatever the DAG processor does meanwhile, and none goes amiss."""
    names = [f"p{number}" for number in range(8)]
    for name in names:
        write_pipeline(pipelines, name)
    processor = make_bundle()
    home = tmp_path / "airloom"
    tasks = [FORK.Process(target=open_and_read, args=(home, pipelines, name)) for name in names[:4]]
    for task in tasks:
        task.start()
    turn = 0
    while any(task.is_alive() for task in tasks):
        turn += 1
        write_pipeline(pipelines, names[-1], text=MINIMAL + f"  retries: {turn % 9}\n")
        processor.refresh()
    assert [task.exitcode for task in tasks] == [0] * 4
    assert turn > 1
    processor.refresh()
    assert {f"ops/{name}.yaml.py" for name in names} == set(list_stubs(processor))
    assert not list(home.rglob(".*"))


def test_the_file_that_was_there_first_keeps_its_dags_and_the_copy_is_the_import_error(bundle, make_bundle, pipelines):
    first = write_pipeline(pipelines, "same")
    bundle.refresh()
    copy = write_pipeline(pipelines, "same", file="a_copy.yaml")
    for processor in (bundle, make_bundle()):  # the latter: started anew
        processor.refresh()
        bag = load(processor)
        assert set(bag.dags) == {"ops__same__train"}
        assert bag.dags["ops__same__train"].relative_fileloc == "ops/same.yaml.py"
        [(file, message)] = bag.import_errors.items()
        assert file == "ops/a_copy.yaml.py"
        assert message.startswith(f"{copy}:3:18: metadata.name: given 'same', which is the pipeline of {first}")
    first.unlink()
    bundle.refresh()
    bag = load(bundle)
    assert bag.import_errors == {}
    assert bag.dags["ops__same__train"].relative_fileloc == "ops/a_copy.yaml.py"


def test_of_files_named_otherwise_the_one_whose_dags_airflow_has_keeps_them(make_bundle, pipelines, register):
    write_pipeline(pipelines, "same", file="b.yaml")
    register("ops__same__train", "ops/b.yaml")
    write_pipeline(pipelines, "same", file="a.yaml")
    bundle = make_bundle()  # a DAG processor on a fresh disk
    bundle.refresh()
    assert load(bundle).dags["ops__same__train"].relative_fileloc == "ops/b.yaml.py"
    assert set(load(bundle).import_errors) == {"ops/a.yaml.py"}


def test_a_copy_does_not_get_the_dags_of_a_file_that_cannot_be_read_just_now(bundle, pipelines):
    first = write_pipeline(pipelines, "same", file="b.yaml")
    bundle.refresh()
    first.write_text("a: [")
    write_pipeline(pipelines, "same", file="a.yaml")
    bundle.refresh()
    assert load(bundle).dags == {}
    assert set(load(bundle).import_errors) == {"ops/a.yaml.py", "ops/b.yaml.py"}


def test_a_file_that_claims_another_teams_pipeline_takes_nothing_away(bundle, pipelines):
    write_pipeline(pipelines, "same", file="z.yaml")
    write_pipeline(pipelines, "same", file="../other/same.yaml")  # says team: ops
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__same__train"}
    assert "move it, or leave team out" in bag.import_errors["other/same.yaml.py"]


@pytest.mark.parametrize("anew", [False, True], ids=["the same processor", "a processor started anew"])
def test_a_pipeline_that_goes_leaves_word_of_its_model(bundle, make_bundle, pipelines, register, caplog, anew):
    path = write_pipeline(pipelines, "live", text=FULL)
    plain = write_pipeline(pipelines, "plain")
    for family in ("train", "promote", "monitor"):
        register(f"ops__live__{family}", "ops/live.yaml")
    register("ops__plain__train", "ops/plain.yaml")
    caplog.set_level("WARNING")
    bundle.refresh()
    assert caplog.messages == []
    path.unlink()
    plain.unlink()
    processor = make_bundle() if anew else bundle
    for _ in range(2):  # said once
        processor.refresh()
        [warning] = caplog.messages
        assert warning.startswith("Pipeline ops/live is gone: no file claims it any more; it was ops/live.yaml.")
        assert "Its model ops/live" in warning


def test_a_renamed_pipeline_leaves_word_of_its_model_too(bundle, pipelines, register, caplog):
    path = write_pipeline(pipelines, "old", text=FULL)
    register("ops__old__promote", "ops/old.yaml")
    bundle.refresh()
    path.write_text(FULL.format(name="new", team="ops"))
    bundle.refresh()
    assert "Pipeline ops/old is gone" in caplog.text


def test_a_folder_that_is_gone_keeps_the_dags(bundle, pipelines):
    path = write_pipeline(pipelines, "one")
    bundle.refresh()
    pipelines.rename(pipelines.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="AIRLOOM_PIPELINES"):
        bundle.refresh()
    assert set(list_stubs(bundle)) == {f"ops/{path.name}.py"}


@pytest.fixture
def dag_processor(pipelines, monkeypatch, make_bundle):
    """Airflow's own, which runs no file: gives what it knows after it was time to refresh."""
    from airflow.dag_processing.manager import DagFileProcessorManager

    bundle = {"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle"}
    arguments = {"pipelines": str(pipelines), "refresh_interval": 0}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([{**bundle, "kwargs": arguments}]))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL", "0")
    processor = DagFileProcessorManager(max_runs=1)
    processor.sync_bundles() if hasattr(processor, "sync_bundles") else DagBundlesManager().sync_bundles_to_db()
    processor._dag_bundles = list(DagBundlesManager().get_all_dag_bundles())
    searched = create_autospec(processor._find_files_in_bundle, side_effect=processor._find_files_in_bundle)
    monkeypatch.setattr(DagFileProcessorManager, "_find_files_in_bundle", staticmethod(searched))
    known: dict[str, set[Any]] = {}

    def refresh() -> tuple[bool, set[str]]:
        """Whether it went through all files, and the DAG files that it knows."""
        searched.reset_mock()
        processor._refresh_dag_bundles(known_files=known)
        return searched.called, {str(file.rel_path) for file in known["airloom"]}

    return refresh


def test_the_dag_processor_goes_through_all_files_only_where_something_changed(dag_processor, pipelines):
    write_pipeline(pipelines, "one")
    assert dag_processor() == (True, {"ops/one.yaml.py"})
    assert dag_processor() == (False, {"ops/one.yaml.py"})
    write_pipeline(pipelines, "two")
    assert dag_processor() == (True, {"ops/one.yaml.py", "ops/two.yaml.py"})
    (pipelines / "ops" / "one.yaml").unlink()
    assert dag_processor() == (True, {"ops/two.yaml.py"})
    write_pipeline(pipelines, "two", text=FULL)
    assert dag_processor()[0]
    (pipelines / "defaults.yaml").write_text("spec: {retries: 1}\n")
    assert dag_processor()[0]
    write_pipeline(pipelines, "three", file="a\nb.yaml")
    assert dag_processor()[0]
    assert not dag_processor()[0]


def test_the_dag_processor_goes_through_all_files_every_ten_minutes_anyway(dag_processor, pipelines, monkeypatch):
    write_pipeline(pipelines, "one")
    assert dag_processor()[0]
    assert not dag_processor()[0]
    monkeypatch.setattr("airloom_airflow.bundles.pipelines._ANYWAY_SECONDS", 0)
    assert dag_processor()[0]


def test_what_builds_dags_is_loaded_before_the_dag_processor_forks_and_not_by_a_task(database, pipelines):
    write_pipeline(pipelines, "one", text=FULL)
    program = f"""
import sys
from airloom_airflow.bundles import PipelineDagBundle
bundle = PipelineDagBundle(name="airloom", pipelines={str(pipelines)!r})
bundle.initialize()
wanted = {{"airloom_airflow.bundles.pipeline_file", "airloom_airflow.operators.stage_subprocess"}}
print(wanted & set(sys.modules))
bundle.refresh()
print(wanted - set(sys.modules))
from airloom_airflow.bundles.pipeline_file import build_dags
loaded = set(sys.modules)
build_dags({str(pipelines / "ops" / "one.yaml")!r}, {str(pipelines)!r})
print({{name for name in set(sys.modules) - loaded if name.startswith("airflow.providers")}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines().count("set()") == 3, done.stdout + done.stderr


def test_it_looks_for_changes_no_more_often_than_it_was_told_to(make_bundle, pipelines, monkeypatch):
    bundle = make_bundle()
    assert bundle.refresh_interval == 1
    bundle.refresh()
    write_pipeline(pipelines, "one")
    now = time.monotonic()
    assert bundle.refresh_interval == sys.maxsize
    monkeypatch.setattr("airloom_airflow.bundles.pipelines.time.monotonic", lambda: now + 2)
    assert bundle.refresh_interval == 0


def test_a_folder_that_is_gone_is_something_to_refresh_for(make_bundle, pipelines):
    bundle = make_bundle()
    bundle.refresh_interval = 0
    bundle.refresh()
    assert bundle.refresh_interval == sys.maxsize
    pipelines.rename(pipelines.with_name("elsewhere"))
    assert bundle.refresh_interval == 0


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


def test_a_file_may_be_called_as_python_calls_an_encoding(bundle, pipelines):
    write_pipeline(pipelines, "p", file="target-encoding=v2.yaml")
    bundle.refresh()
    bag = load(bundle)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__p__train"}


@pytest.mark.parametrize("file", ["iris.yaml", "other.yaml"])
def test_a_name_with_a_blank_is_an_import_error_and_takes_nobodys_dags(bundle, pipelines, file):
    write_pipeline(pipelines, "live", file="lively.yaml")
    write_pipeline(pipelines, '"iris "', file=file)
    write_pipeline(pipelines, '"live "', file="copy.yaml")
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__live__train"}
    assert set(bag.import_errors) == {f"ops/{file}.py", "ops/copy.yaml.py"}
    assert ":3:18: metadata.name: given 'iris '; give lower-case words" in bag.import_errors[f"ops/{file}.py"]


def test_a_team_that_the_defaults_give_is_the_pipelines_from_the_next_refresh_on(bundle, pipelines):
    write_pipeline(pipelines, "p", text=MINIMAL.replace(", team: {team}", ""), file="../p.yaml")
    write_pipeline(pipelines, "p", text=MINIMAL.replace("{team}", "ml"), file="../copy.yaml")
    for team, refused in (("ops", set()), ("ml", {"copy.yaml.py"})):
        (pipelines / "defaults.yaml").write_text(f"metadata: {{team: {team}}}\n")
        bundle.refresh()
        bag = load(bundle)
        assert f"{team}__p__train" in bag.dags
        assert set(bag.import_errors) == refused


def test_pipeline_files_of_a_config_map_are_read_through_its_links(bundle, make_bundle, pipelines, in_task):
    """As Kubernetes lays one out, and when it brings another version in."""
    for version, retries in (("..2026_01", 1), ("..2026_02", 2)):
        text = MINIMAL + f"  retries: {retries}\n"
        write_pipeline(pipelines / version, "one", text=text)
        write_pipeline(pipelines / version, "two", text=text, file="../two.yaml")
        fresh = pipelines / "..data_tmp"
        fresh.symlink_to(version)
        fresh.rename(pipelines / "..data")
        if retries == 1:
            (pipelines / "ops").rmdir()
            (pipelines / "ops").symlink_to("..data/ops")
            (pipelines / "two.yaml").symlink_to("..data/two.yaml")
        bundle.refresh()
        bag = load(bundle)
        assert bag.import_errors == {}
        assert {id_: dag.get_task("train").retries for id_, dag in bag.dags.items()} == {
            "ops__one__train": retries,
            "ops__two__train": retries,
        }
    in_task("ops__two__train")
    assert set(load(make_bundle("fresh")).dags) == {"ops__two__train"}


def test_a_link_out_of_the_folder_shows_nobody_what_it_leads_to(bundle, pipelines, tmp_path):
    write_pipeline(pipelines, "good")
    (tmp_path / "key").write_text("cG9zdGdyZXNf")
    (pipelines / "ops" / "bad.yaml").symlink_to(tmp_path / "key")
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    assert "bad.yaml: is a link, or lies behind one" in bag.import_errors["ops/bad.yaml.py"]
    shown = [*bag.import_errors.values(), *(path.read_text() for path in bundle.path.rglob("*.py"))]
    assert "cG9z" not in "".join(shown)


def test_a_folder_that_led_out_and_lies_there_now_is_read(bundle, pipelines, tmp_path):
    write_pipeline(pipelines, "good")
    write_pipeline(tmp_path, "p", team="ml")
    (pipelines / "ml").symlink_to(tmp_path / "ml")
    bundle.refresh()
    assert set(load(bundle).import_errors) == {"ml.py"}
    (pipelines / "ml").unlink()
    write_pipeline(pipelines, "p", team="ml")
    bundle.refresh()
    bag = load(bundle)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", "ml__p__train"}


def test_a_file_too_large_is_one_import_error_and_written_once(bundle, pipelines):
    write_pipeline(pipelines, "p", text=MINIMAL + "# x\n" * 300_000)
    bundle.refresh()
    stub = bundle.path / "ops" / "p.yaml.py"
    before = stub.stat()
    [error] = load(bundle).import_errors.values()
    assert "is larger than 1,000,000 bytes" in error
    (pipelines / "ops" / "p.yaml").touch()
    bundle.refresh()
    assert (stub.stat().st_mtime_ns, stub.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert before.st_size < 2_000_000
