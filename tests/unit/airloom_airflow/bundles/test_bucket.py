"""Pipeline files in a bucket: the DAG processor keeps a copy of all, a task fetches only its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from tests.unit.airloom_airflow.pipelines import MINIMAL, write_pipeline

from airloom.errors import ConfigError, UnavailableError
from airloom_airflow.bundles import PipelineDagBundle
from airloom_airflow.objects import read_object


class Prefix:
    """`s3://<bucket>/models` and what lies there."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket
        self.uri = f"s3://{bucket}/models"

    def put(self, file: str, text: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"models/{file}", Body=text.encode())

    def put_pipeline(self, name: str, file: str | None = None, retries: int = 0) -> None:
        self.put(file or f"ops/{name}.yaml", MINIMAL.format(name=name, team="ops") + f"  retries: {retries}\n")

    def remove(self, file: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=f"models/{file}")


@pytest.fixture
def prefix(s3_server, bucket: str, database: None) -> Prefix:
    return Prefix(s3_server.client, bucket)


@pytest.fixture
def make_bundle(prefix: Prefix, storage, tmp_path: Path) -> Callable[..., PipelineDagBundle]:
    def make(disk: str = "disk") -> PipelineDagBundle:
        storage(tmp_path / disk)
        bundle = PipelineDagBundle(name="airloom", pipelines=prefix.uri)
        bundle.initialize()
        return bundle

    return make


def load(bundle: PipelineDagBundle) -> DagBag:
    return DagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name="airloom")


def list_copies(bundle: PipelineDagBundle) -> set[str]:
    folder = bundle.base_dir / "bucket"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_dag_processor_keeps_in_step_with_the_bucket(make_bundle, prefix):
    prefix.put_pipeline("one")
    prefix.put_pipeline("two")
    prefix.put("ops/notes.txt", "none of ours")
    prefix.put("ops/deeper/x.yaml", "none of ours")
    bundle = make_bundle()
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train", "ops__two__train"}
    assert list_copies(bundle) == {"ops/one.yaml", "ops/two.yaml"}
    before = {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*.py")}
    prefix.put_pipeline("one", retries=4)
    prefix.remove("ops/two.yaml")
    bundle.refresh()
    bag = load(bundle)
    assert set(bag.dags) == {"ops__one__train"}
    assert bag.dags["ops__one__train"].get_task("train").retries == 4
    prefix.put("ops/defaults.yaml", "spec: {retry_delay_seconds: 9}\n")
    bundle.refresh()
    assert load(bundle).dags["ops__one__train"].get_task("train").retry_delay.seconds == 9
    assert {path.name for path in before} == {"one.yaml.py", "two.yaml.py"}


def test_defaults_under_another_name_are_told_from_a_bucket_too(make_bundle, prefix):
    prefix.put_pipeline("one")
    prefix.put("ops/defaults.yml", "spec: {retries: 4}\n")
    bundle = make_bundle()
    bundle.refresh()
    [message] = load(bundle).import_errors.values()
    assert "ops/defaults.yml: is not read: defaults lie in defaults.yaml" in message


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("q.yaml/z.yaml", "its folder 'q.yaml' is no team's name"),
        ("ops/" + "x" * 300 + ".yaml", "its name has 305 bytes, and 240 are allowed"),
        ("ops//one.yaml", "its key has an empty part or a `.` in it"),
    ],
)
def test_a_key_that_no_file_can_have_costs_its_own_pipeline_alone(make_bundle, prefix, in_task, key, words):
    prefix.put_pipeline("one")
    prefix.put_pipeline("q", "q.yaml")
    prefix.put_pipeline("two", "ops/other.yaml")
    prefix.put_pipeline("odd", key)
    prefix.put("q.yaml/defaults.yaml", "spec: {retries: 3}\n")
    bundle = make_bundle()
    for _ in range(2):
        bundle.refresh()
        bag = load(bundle)
        assert set(bag.dags) == {"ops__one__train", "ops__q__train", "ops__two__train"}
        [message] = bag.import_errors.values()
        assert words in message
    prefix.remove(key)
    bundle.refresh()
    assert load(bundle).import_errors == {}
    prefix.put_pipeline("odd", key)
    in_task("ops__two__train")
    assert set(load(make_bundle("another disk")).dags) == {"ops__two__train"}


def test_a_key_with_two_slashes_is_written_nowhere(make_bundle, prefix, tmp_path):
    prefix.put_pipeline("one")
    outside = f"airloom-outside-{tmp_path.parent.name}-{tmp_path.name}"
    prefix.put_pipeline("outside", f"/{outside}.yaml")
    prefix.put("/defaults.yaml", "spec: {retries: 9}\n")
    bundle = make_bundle()
    try:
        bundle.refresh()
        assert not Path(f"/{outside}.yaml").exists()
        assert not Path("/defaults.yaml").exists()
    finally:
        Path(f"/{outside}.yaml").unlink(missing_ok=True)
    assert list_copies(bundle) == {"ops/one.yaml"}


def test_nothing_is_fetched_twice(make_bundle, prefix, monkeypatch):
    prefix.put_pipeline("one")
    prefix.put_pipeline("two")
    make_bundle().refresh()
    fetched: list[str] = []
    monkeypatch.setattr("airloom_airflow.bundles.bucket.read_object", fetched.append)
    make_bundle().refresh()  # the DAG processor started anew
    assert fetched == []


def test_a_task_fetches_its_own_file_and_its_defaults_alone(make_bundle, prefix, in_task):
    for name in ("one", "two", "three"):
        prefix.put_pipeline(name)
    prefix.put("defaults.yaml", "spec: {retries: 1, retry_delay_seconds: 5}\n")
    in_task("ops__two__train")
    bundle = make_bundle("fresh")
    assert list_copies(bundle) == {"defaults.yaml", "ops/two.yaml"}
    assert load(bundle).dags["ops__two__train"].get_task("train").retry_delay.seconds == 5


@pytest.mark.parametrize("file", ["ops/p.yml", "p.yaml", "ops/other.yaml", "other.yml"])
def test_a_tasks_file_is_found_wherever_it_may_lie(make_bundle, prefix, in_task, file):
    prefix.put_pipeline("p", file=file)
    prefix.put_pipeline("q")
    in_task("ops__p__train")
    assert set(load(make_bundle("fresh")).dags) == {"ops__p__train"}


def test_a_bucket_that_is_away_leaves_everything_as_it_was(make_bundle, prefix, in_task, monkeypatch, caplog):
    prefix.put_pipeline("one")
    processor = make_bundle()
    processor.refresh()
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(UnavailableError, match="does not answer"):
            processor.refresh()
        assert set(load(processor).dags) == {"ops__one__train"}
        in_task("ops__one__train")
        assert set(load(make_bundle()).dags) == {"ops__one__train"}  # a task, where an earlier copy lies
        assert "Pipeline ops/one is taken as it was when it was last read" in caplog.text
        with pytest.raises(UnavailableError, match="does not answer"):
            make_bundle("fresh")
    assert set(load(make_bundle("fresh")).dags) == {"ops__one__train"}


def test_an_empty_prefix_is_taken_for_a_mistake(make_bundle, prefix):
    prefix.put_pipeline("one")
    bundle = make_bundle()
    bundle.refresh()
    prefix.remove("ops/one.yaml")
    with pytest.raises(ConfigError, match=r"no pipeline file is below s3://.*stay as they were"):
        bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train"}


def test_a_bundle_may_move_from_a_folder_to_a_bucket(make_bundle, prefix, pipelines, storage, tmp_path):
    write_pipeline(pipelines, "here")
    storage(tmp_path / "disk")
    folder = PipelineDagBundle(name="airloom", pipelines=str(pipelines))
    folder.initialize()
    folder.refresh()
    prefix.put_pipeline("there")
    bundle = make_bundle()
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__there__train"}
    assert (pipelines / "ops" / "here.yaml").is_file()
    assert not (pipelines / "ops" / "there.yaml").exists()


@pytest.mark.parametrize("name", ["churn#2", "which?", "100%25", "a%2Fb", "a+b c", "naïve"])
def test_a_key_that_a_uri_would_misread_is_read(make_bundle, prefix, in_task, name):
    prefix.put_pipeline("good")
    prefix.put_pipeline("p", f"ops/{name}.yaml")
    bundle = make_bundle()
    bundle.refresh()
    bag = load(bundle)
    assert bag.import_errors == {}
    assert set(bag.dags) == {"ops__good__train", "ops__p__train"}
    in_task("ops__p__train")
    assert set(load(make_bundle("a worker's")).dags) == {"ops__p__train"}


@pytest.mark.parametrize("mark", ["#", "?"])
def test_a_prefix_that_a_uri_would_misread_is_refused(prefix, storage, tmp_path, mark):
    storage(tmp_path)
    bundle = PipelineDagBundle(name="airloom", pipelines=f"{prefix.uri}{mark}2")
    with pytest.raises(ConfigError, match=r"holds a \? or #, .*write %3F for \? and %23 for #"):
        bundle.refresh()


def absent(monkeypatch: pytest.MonkeyPatch, key: str, and_then: Callable[[], Any]) -> None:
    """At the first look the store says of one key that it is not there; something happens then."""
    seen: list[str] = []

    def read(uri: str) -> bytes | None:
        if not uri.endswith(key) or seen:
            return read_object(uri)
        seen.append(uri)
        and_then()
        return None

    monkeypatch.setattr("airloom_airflow.bundles.bucket.read_object", read)


@pytest.mark.parametrize("new", [True, False])
def test_what_is_removed_between_listing_and_reading_is_gone(make_bundle, prefix, monkeypatch, new):
    prefix.put_pipeline("one")
    prefix.put_pipeline("two")
    bundle = make_bundle()
    if not new:
        bundle.refresh()
        prefix.put_pipeline("two", retries=1)
    absent(monkeypatch, "ops/two.yaml", lambda: prefix.remove("ops/two.yaml"))
    bundle.refresh()
    bag = load(bundle)
    assert (set(bag.dags), bag.import_errors) == ({"ops__one__train"}, {})
    prefix.put_pipeline("two", retries=1)
    bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train", "ops__two__train"}


def test_what_is_removed_and_put_again_between_listing_and_reading_is_there(make_bundle, prefix, monkeypatch):
    prefix.put_pipeline("one")
    absent(monkeypatch, "ops/one.yaml", lambda: prefix.put_pipeline("one", retries=2))
    bundle = make_bundle()
    bundle.refresh()
    assert load(bundle).dags["ops__one__train"].get_task("train").retries == 2


def test_what_is_listed_and_never_given_is_no_deletion(make_bundle, prefix, monkeypatch):
    for name in ("one", "two"):
        prefix.put_pipeline(name)
    bundle = make_bundle()
    bundle.refresh()
    prefix.put_pipeline("two", retries=1)
    with monkeypatch.context() as broken:
        broken.setattr("airloom_airflow.bundles.bucket.read_object", lambda uri: None)
        with pytest.raises(UnavailableError, match=r"lists s3://.*/ops/two.yaml, and says that it is not there"):
            bundle.refresh()
    assert set(load(bundle).dags) == {"ops__one__train", "ops__two__train"}
    bundle.refresh()
    assert load(bundle).dags["ops__two__train"].get_task("train").retries == 1
