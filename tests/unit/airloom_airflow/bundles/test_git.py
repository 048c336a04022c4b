"""Pipeline files in a git repository: followed, with versions that a run keeps, whatever becomes of the branch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.bundles.base import unpack_bundle_version
from airflow.dag_processing.dagbag import DagBag
from tests.unit.airloom_airflow.git_remote import GitRemote
from tests.unit.airloom_airflow.pipelines import FULL, MINIMAL

from airloom.errors import ConfigError, UnavailableError
from airloom_airflow.bundles.git import GitPipelineDagBundle
from airloom_airflow.bundles.stub import MARK


def text(name: str, retries: int = 0) -> str:
    return MINIMAL.format(name=name, team="ops") + f"  retries: {retries}\n"


@pytest.fixture
def remote(database: None, tmp_path: Path) -> GitRemote:
    return GitRemote(tmp_path / "remote")


@pytest.fixture
def make_bundle(remote: GitRemote, storage, tmp_path: Path) -> Callable[..., GitPipelineDagBundle]:
    def make(version: str | None = None, disk: str = "disk", ref: str = "main") -> GitPipelineDagBundle:
        storage(tmp_path / disk)
        bundle = GitPipelineDagBundle(
            name="airloom", tracking_ref=ref, subdir="pipelines", repo_url=remote.url, version=version
        )
        bundle.initialize()
        return bundle

    return make


def load(bundle: GitPipelineDagBundle) -> DagBag:
    return DagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name="airloom")


def find_retries(bundle: GitPipelineDagBundle, name: str) -> int:
    return load(bundle).dags[f"ops__{name}__train"].get_task("train").retries


def find_version(bundle: GitPipelineDagBundle) -> str | None:
    return unpack_bundle_version(bundle.get_current_version(), bundle)[0]


def test_a_branch_is_followed_and_its_commit_is_the_version(make_bundle, remote):
    first = remote.commit({"ops/one.yaml": text("one"), "ops/two.yaml": text("two")})
    bundle = make_bundle()
    bundle.refresh()
    assert find_version(bundle) == first
    assert set(load(bundle).dags) == {"ops__one__train", "ops__two__train"}
    before = {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*.py")}
    second = remote.commit({"ops/one.yaml": text("one", retries=4)})
    bundle.refresh()
    assert find_version(bundle) == second
    assert find_retries(bundle, "one") == 4
    changed = {path.name for path in bundle.path.rglob("*.py") if path.stat().st_mtime_ns != before[path]}
    assert changed == {"one.yaml.py"}


def test_a_tag_is_followed_where_it_goes(make_bundle, remote):
    remote.commit({"ops/one.yaml": text("one", retries=1)})
    remote.run("tag", "live")
    remote.commit({"ops/one.yaml": text("one", retries=2)})
    bundle = make_bundle(ref="live")
    bundle.refresh()
    assert find_retries(bundle, "one") == 1
    remote.run("tag", "--force", "live")
    bundle.refresh()
    assert find_retries(bundle, "one") == 2


def test_a_run_keeps_the_file_that_it_started_with_on_a_fresh_disk(make_bundle, remote, in_task):
    first = remote.commit({"ops/one.yaml": text("one", retries=1), "ops/two.yaml": text("two")})
    remote.commit({"ops/one.yaml": text("one", retries=2)})
    remote.commit({"ops/one.yaml": None})
    in_task("ops__one__train")
    worker = make_bundle(version=first)
    assert find_version(worker) == first
    assert find_retries(worker, "one") == 1
    assert [path.name for path in worker.path.rglob("*.py")] == ["one.yaml.py"]


def test_a_versions_defaults_are_its_own(make_bundle, remote, in_task):
    first = remote.commit(
        {"defaults.yaml": "spec: {retries: 5}\n", "ops/one.yaml": MINIMAL.format(name="one", team="ops")}
    )
    remote.commit({"defaults.yaml": "spec: {retries: 6}\n"})
    in_task("ops__one__train")
    assert find_retries(make_bundle(version=first), "one") == 5


def test_a_callback_of_an_old_run_finds_its_dag_too(make_bundle, remote):
    """The DAG processor opens a version for callbacks, of whatever DAG, in a process that is no task's."""
    first = remote.commit({"ops/one.yaml": text("one", retries=1), "ops/two.yaml": text("two")})
    remote.commit({"ops/one.yaml": text("one", retries=2)})
    processor = make_bundle(version=first)
    assert find_retries(processor, "one") == 1
    assert set(load(make_bundle(version=first)).dags) == {"ops__one__train", "ops__two__train"}


def test_a_forced_push_takes_no_runs_file_away(make_bundle, remote, in_task):
    base = remote.commit({"ops/one.yaml": text("one", retries=1)})
    lost = remote.commit({"ops/one.yaml": text("one", retries=2)})
    processor = make_bundle()
    processor.refresh()
    remote.force_back(base)
    remote.commit({"ops/one.yaml": text("one", retries=3)})
    processor.refresh()
    assert find_retries(processor, "one") == 3
    in_task("ops__one__train")
    assert find_retries(make_bundle(version=lost), "one") == 2  # the disk that knew it
    assert find_retries(make_bundle(version=lost, disk="fresh"), "one") == 2
    remote.run("gc", "--quiet", "--prune=now")
    with pytest.raises(ConfigError, match=f"(?s)no longer gives commit {lost}.*Push a tag"):
        make_bundle(version=lost, disk="another")
    assert find_retries(make_bundle(version=lost, disk="fresh"), "one") == 2


def test_a_remote_that_is_away_leaves_everything_as_it_was(make_bundle, remote, in_task):
    first = remote.commit({"ops/one.yaml": text("one", retries=1)})
    processor = make_bundle()
    processor.refresh()
    in_task("ops__one__train")
    make_bundle(version=first)
    with remote.away():
        with pytest.raises(UnavailableError, match="does not answer or refuses, so its pipelines stay as they were"):
            processor.refresh()
        assert find_version(processor) == first
        assert find_retries(processor, "one") == 1
        assert find_retries(make_bundle(version=first), "one") == 1  # a task on a disk that has the version
    remote.commit({"ops/one.yaml": text("one", retries=2)})
    processor.refresh()
    assert find_retries(processor, "one") == 2


def test_a_broken_pipeline_is_one_import_error_and_runs_go_on(make_bundle, remote, in_task):
    first = remote.commit({"ops/one.yaml": text("one", retries=1), "ops/two.yaml": text("two")})
    processor = make_bundle()
    processor.refresh()
    remote.commit({"ops/one.yaml": "a: ["})
    processor.refresh()
    bag = load(processor)
    assert set(bag.dags) == {"ops__two__train"}
    assert set(bag.import_errors) == {"ops/one.yaml.py"}
    in_task("ops__one__train")
    assert find_retries(make_bundle(version=first), "one") == 1


def test_credentials_and_address_may_be_the_connections(make_bundle, remote, monkeypatch, storage, tmp_path):
    remote.commit({"ops/one.yaml": text("one")})
    connection = {"conn_type": "git", "host": remote.url}
    monkeypatch.setenv("AIRFLOW_CONN_PIPELINES", json.dumps(connection))
    storage(tmp_path / "disk")
    bundle = GitPipelineDagBundle(name="airloom", tracking_ref="main", subdir="pipelines", git_conn_id="pipelines")
    bundle.initialize()
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train"}


def test_the_web_ui_links_to_the_version_at_its_host(database, storage, tmp_path):
    storage(tmp_path)
    url = "https://somebody:secret@github.com/us/models.git"
    bundle = GitPipelineDagBundle(name="airloom", tracking_ref="main", subdir="pipelines", repo_url=url)
    assert bundle.view_url_template() == "https://github.com/us/models/tree/{version}/pipelines"


def test_a_repository_without_the_folder_says_so(make_bundle, remote):
    remote.commit({"ops/one.yaml": text("one")})
    remote.run("mv", "pipelines", "elsewhere")
    remote.run("commit", "--quiet", "--message", "move")
    with pytest.raises(ConfigError, match=r"no folder 'pipelines'.*mend `subdir`"):
        make_bundle()


def test_versions_nobody_uses_go_with_their_dag_files(make_bundle, remote):
    first = remote.commit({"ops/one.yaml": FULL.format(name="one", team="ops")})
    bundle = make_bundle(version=first)
    assert bundle.path.is_relative_to(bundle.versions_dir / first)


def link(remote: GitRemote, name: str, target: str | Path) -> None:
    (remote.folder / name).symlink_to(target)
    remote.commit({})


@pytest.mark.parametrize("target", ["/dev/zero", "FIFO"])
def test_a_link_to_a_device_costs_its_own_file_alone(make_bundle, remote, tmp_path, target):
    """The DAG processor's refresh, in a process of its own with 2 GB and 50 s."""
    if target == "FIFO":
        target = str(tmp_path / "fifo")
        os.mkfifo(target)
    remote.commit({"ops/good.yaml": text("good")})
    link(remote, "pipelines/ops/bad.yaml", target)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from airloom_airflow.bundles.git import GitPipelineDagBundle\n"
        "bundle = GitPipelineDagBundle(name='airloom', tracking_ref='main', subdir='pipelines', "
        f"repo_url={remote.url!r})\n"
        "bundle.initialize(); bundle.refresh()\n"
    )
    bundle = make_bundle()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr[-400:]
    bag = load(bundle)
    assert set(bag.dags) == {"ops__good__train"}
    assert set(bag.import_errors) == {"ops/bad.yaml.py"}


@pytest.mark.parametrize("name", ["ops/bad.yaml", "ops/defaults.yaml", "away"])
def test_a_link_out_of_the_repository_shows_nobody_a_file_of_the_machine(make_bundle, remote, tmp_path, name):
    """Who may push pipeline files (data, no code) may not therefore read the DAG processor's files in the web UI."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "key.yaml").write_text("cG9zdGdyZXNfcGFzc3dvcmQ")
    remote.commit({"ops/good.yaml": text("good"), "ml/good.yaml": text("other").replace("ops", "ml")})
    link(remote, f"pipelines/{name}", mounted if name == "away" else mounted / "key.yaml")
    bundle = make_bundle()
    bundle.refresh()
    bag = load(bundle)
    assert "ml__other__train" in bag.dags
    [error] = bag.import_errors.values()
    assert f"{name}: is a link, or lies behind one, that leads out of the folder" in error
    shown = "\n".join([*bag.import_errors.values(), *(path.read_text() for path in bundle.path.rglob("*.py"))])
    assert "cG9z" not in shown
    assert "key.yaml" not in shown


def test_links_that_end_nowhere_or_where_nobody_can_look_stop_no_refresh(make_bundle, remote):
    remote.commit({"ops/good.yaml": text("good")})
    for name in ("teams", "ops/bad.yaml", "ops/defaults.yml", "team.yaml"):
        link(remote, f"pipelines/{name}", "x" * 300)
    link(remote, "pipelines/ops/gone.yaml", "nowhere.yaml")
    bundle = make_bundle()
    bundle.refresh()
    told = load(bundle).import_errors
    assert set(told) == {"ops/good.yaml.py", "ops/bad.yaml.py", "ops/gone.yaml.py", "team.yaml.py"}
    assert "defaults.yml: is not read: defaults lie in defaults.yaml" in told["ops/good.yaml.py"]


def test_a_link_within_the_folder_is_followed(make_bundle, remote):
    remote.commit({"ops/one.yaml": text("one"), "ml/notes": "x"})
    link(remote, "pipelines/data.yaml", "ops/one.yaml")
    link(remote, "pipelines/ops/two.yaml", "../ml/two")
    remote.commit({"ml/two": text("two")})
    bundle = make_bundle()
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train", "ops__two__train"}


def test_a_folder_of_pipelines_that_is_a_link_out_of_the_repository_is_refused(make_bundle, remote, tmp_path):
    remote.commit({"ops/one.yaml": text("one")})
    remote.run("mv", "pipelines", "elsewhere")
    link(remote, "pipelines", "elsewhere")
    assert make_bundle().fetch_pipelines().name == "pipelines"
    (remote.folder / "pipelines").unlink()
    link(remote, "pipelines", tmp_path)
    with pytest.raises(ConfigError, match=r"'pipelines' in the repository.*is a link that leads out of the repository"):
        make_bundle(disk="another")


def test_no_commit_brings_dag_files_of_its_own(make_bundle, remote, in_task):
    """Pipeline files are data: who may push them may not therefore have code run where tasks do."""
    first = remote.commit({"ops/one.yaml": text("one")})
    of_first = make_bundle(version=first)
    folder = of_first.path.relative_to(of_first.versions_dir / first).as_posix()
    remote.commit({f"../{folder}/ops/one.yaml.py": f"{MARK}\nraise ImportError('code of a commit')\n"})
    second = remote.run("rev-parse", "HEAD")
    in_task("ops__one__train")
    bag = load(make_bundle(version=second, disk="fresh"))
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__one__train"}


def leave_locks(disk: Path) -> None:
    """As git does that is killed in its work."""
    for git in [path for path in disk.rglob(".git") if path.is_dir()]:
        (git / "index.lock").touch()
    for bare in disk.rglob("bare"):
        (bare / "packed-refs.lock").touch()


@pytest.mark.parametrize("started_again", [True, False])
def test_a_git_that_was_killed_in_its_work_stops_nobody(make_bundle, remote, tmp_path, started_again):
    remote.commit({"ops/one.yaml": text("one")})
    bundle = make_bundle()
    bundle.refresh()
    leave_locks(tmp_path / "disk")
    remote.commit({"ops/one.yaml": text("one", retries=4)})
    if started_again:
        bundle = make_bundle()
    bundle.refresh()
    assert find_retries(bundle, "one") == 4


def test_a_tasks_checkout_that_was_killed_is_made_again(make_bundle, remote, tmp_path, in_task):
    first = remote.commit({"ops/one.yaml": text("one", retries=3)})
    make_bundle().refresh()
    remote.commit({"ops/one.yaml": text("one")})
    in_task("ops__one__train")
    part = next((tmp_path / "disk").rglob("bare")).parent / "versions" / f"{first}.part"
    (part / ".git").mkdir(parents=True)
    assert find_retries(make_bundle(version=first), "one") == 3
    assert not part.exists()


def test_a_task_whose_disk_has_its_commit_needs_no_remote(make_bundle, remote, in_task):
    first = remote.commit({"ops/one.yaml": text("one", retries=3)})
    make_bundle().refresh()
    in_task("ops__one__train")
    with remote.away():
        bundle = make_bundle(version=first)
    assert (find_version(bundle), find_retries(bundle, "one")) == (first, 3)


def test_a_remote_that_is_away_costs_the_disk_none_of_its_commits(make_bundle, remote, tmp_path, in_task):
    """One that was forced off the branch is on this disk alone."""
    first = remote.commit({"ops/one.yaml": text("one", retries=3)})
    make_bundle().refresh()
    in_task("ops__one__train")
    with remote.away(), pytest.raises(UnavailableError, match="does not answer or refuses"):
        make_bundle(version="0" * 40)
    with remote.away(), pytest.raises(UnavailableError, match="does not answer or refuses"):
        make_bundle()
    with remote.away():
        assert find_retries(make_bundle(version=first), "one") == 3
