"""What every object store must do; run on the folder store, a bucket of a real S3 server, a container of Azurite."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from airloom.adapters.local_folder import LocalFolderObjectStore
from airloom.errors import ConfigError, DataError, UnavailableError
from airloom.ports import ObjectStore
from airloom.stages.wiring import open_object_store


@pytest.fixture(params=["folder", "bucket", "container"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bucket":
        return f"s3://{request.getfixturevalue('bucket')}/a%20store"
    if request.param == "container":
        return f"az://{request.getfixturevalue('container')}/a%20store"
    return (tmp_path / "a store").as_uri()


@pytest.fixture
def store(prefix: str) -> ObjectStore:
    return open_object_store(prefix)


def test_what_was_written_is_read_and_described(store: ObjectStore, prefix: str) -> None:
    content = b"\x00bytes"
    artifact = store.write(f"{prefix}/a/b.bin", content)
    assert store.read(f"{prefix}/a/b.bin") == content
    assert (artifact.uri, artifact.size) == (f"{prefix}/a/b.bin", 6)
    assert artifact.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_writing_again_replaces(store: ObjectStore, prefix: str) -> None:
    store.write(f"{prefix}/x", b"a longer first text")
    store.write(f"{prefix}/x", b"second")
    assert store.read(f"{prefix}/x") == b"second"


def test_only_one_of_many_that_replace_the_same_does(store: ObjectStore, prefix: str) -> None:
    uri, before = f"{prefix}/once", None
    for round_number in range(3):  # where nothing is, then over the winner's
        winner = _race(store, uri, before, round_number)
        found = store.read_unless(uri, None)
        assert found is not None
        content, etag = found
        assert (content, etag) == (winner[0], winner[1])
        assert store.read_unless(uri, etag) is None
        assert store.replace(uri, b"x", before) is None, "that was another one"
        assert store.read(uri) == content
        before = etag
    assert list(store.list(prefix)) == [uri]


def _race(store: ObjectStore, uri: str, etag: str | None, round_number: int) -> tuple[bytes, str]:
    """Eight write at once on the same condition; gives the content and the ETag of the one that did."""
    done: list[tuple[bytes, str | None]] = []
    start = threading.Barrier(8)

    def replace(content: bytes) -> None:
        start.wait()
        done.append((content, store.replace(uri, content, etag)))

    threads = [threading.Thread(target=replace, args=(f"{round_number} {each}".encode(),)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [(content, new) for content, new in done if new is not None]
    return winner


def test_what_is_not_there_is_not_replaced(store: ObjectStore, prefix: str) -> None:
    etag = store.replace(f"{prefix}/x", b"1", None)
    assert etag is not None
    store.delete(f"{prefix}/x")
    assert store.replace(f"{prefix}/x", b"2", etag) is None
    assert not store.exists(f"{prefix}/x")
    with pytest.raises(DataError, match=r"no object .*/x"):
        store.read_unless(f"{prefix}/x", etag)


def test_a_tree_keeps_its_shape(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    source = tmp_path / "site"
    (source / "pages").mkdir(parents=True)
    (source / "index.html").write_text("home")
    (source / "pages" / "one.html").write_text("one")
    assert store.upload_tree(source, f"{prefix}/docs") == f"{prefix}/docs"
    assert list(store.list(f"{prefix}/docs")) == [f"{prefix}/docs/index.html", f"{prefix}/docs/pages/one.html"]
    assert store.local(f"{prefix}/docs/pages/one.html").read_text() == "one"


def test_an_uploaded_file_is_described_as_a_written_one(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"z" * 3_000_000)
    assert store.upload(source, f"{prefix}/big").digest == store.write(f"{prefix}/same", b"z" * 3_000_000).digest


def test_odd_names_are_kept(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    names = ["a b.txt", "50%25.txt", "what?#.txt", "Übung+ñ.txt"]
    (tmp_path / "odd").mkdir()
    for name in names:
        (tmp_path / "odd" / name).write_text(name)
    store.upload_tree(tmp_path / "odd", f"{prefix}/odd")
    uris = [f"{prefix}/odd/{quote(name)}" for name in names]
    assert list(store.list(f"{prefix}/odd")) == sorted(uris)
    assert [store.read(uri).decode() for uri in uris] == names
    assert [store.local(uri).name for uri in uris] == names
    store.delete(uris[0])
    assert [store.exists(uri) for uri in uris] == [False, True, True, True]


def test_a_local_file_is_as_new_as_the_object(store: ObjectStore, prefix: str) -> None:
    store.write(f"{prefix}/x", b"first")
    assert store.local(f"{prefix}/x").read_bytes() == b"first"
    assert store.local(f"{prefix}/x") == store.local(f"{prefix}/x")
    store.write(f"{prefix}/x", b"second")
    assert store.local(f"{prefix}/x").read_bytes() == b"second"


def test_a_published_folder_is_seen_by_others(store: ObjectStore, prefix: str) -> None:
    folder = store.folder(f"{prefix}/own files")
    assert list(folder.iterdir()) == []
    (folder / "sub").mkdir()
    (folder / "sub" / "a b").write_text("one")
    (folder / "base").write_text("same")
    store.publish_folder(f"{prefix}/own files")
    other = open_object_store(prefix)
    seen = other.folder(f"{prefix}/own files")
    assert ((seen / "sub" / "a b").read_text(), (seen / "base").read_text()) == ("one", "same")
    assert other.folder(f"{prefix}/own files") == seen, "nothing was published since"
    (folder / "sub" / "a b").write_text("two")
    assert store.folder(f"{prefix}/own files") == folder, "what is not published yet is kept"
    store.publish_folder(f"{prefix}/own files")
    seen = other.folder(f"{prefix}/own files")
    assert ((seen / "sub" / "a b").read_text(), (seen / "base").read_text()) == ("two", "same")


def test_a_listing_is_whole_sorted_and_of_that_prefix_only(store: ObjectStore, prefix: str) -> None:
    for name in ("runs/2/result.json", "runs/1/result.json", "runs-old/result.json"):
        store.write(f"{prefix}/{name}", b"{}")
    assert list(store.list(f"{prefix}/runs")) == [f"{prefix}/runs/1/result.json", f"{prefix}/runs/2/result.json"]
    assert list(store.list(f"{prefix}/nothing")) == []


def test_deleting_is_quiet_where_there_is_nothing(store: ObjectStore, prefix: str) -> None:
    store.write(f"{prefix}/x", b"")
    assert store.exists(f"{prefix}/x")
    store.delete(f"{prefix}/x")
    store.delete(f"{prefix}/x")
    assert not store.exists(f"{prefix}/x")


def test_what_is_not_there_is_bad_data_by_name(store: ObjectStore, prefix: str) -> None:
    for look in (store.read, store.local):
        with pytest.raises(DataError, match=r"no object .*/absent"):
            look(f"{prefix}/absent")


def test_another_scheme_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ConfigError, match="gopher://x/y"):
        store.read("gopher://x/y")


def test_a_place_that_no_store_has_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"'gopher://x/y'; set AIRLOOM_ARTIFACTS_URI to file:///…, s3://bucket/…, gs"):
        open_object_store("gopher://x/y")


@pytest.mark.parametrize("uri", ["file:///a/../../etc/passwd", "file:///a/%2e%2e/b", "file://host/a", "file:relative"])
def test_a_folder_store_refuses_uris_that_lead_elsewhere(uri: str) -> None:
    with pytest.raises(ConfigError, match="no file:///absolute/path URI"):
        LocalFolderObjectStore().write(uri, b"")


def test_a_folder_store_that_cannot_write_leaves_the_old_bytes_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalFolderObjectStore()
    store.write((tmp_path / "x").as_uri(), b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UnavailableError, match=r"the disk is full\. Nothing was published"):
        store.write((tmp_path / "x").as_uri(), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert store.read((tmp_path / "x").as_uri()) == b"old"
