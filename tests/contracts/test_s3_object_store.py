"""What a bucket adds to the object stores' contract: how its server fails, and how a folder of it is published."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.s3_server import S3Server
from tests.waiting import wait_until

from airloom.adapters.s3 import S3ObjectStore
from airloom.errors import ConfigError, DataError, UnavailableError


@pytest.fixture
def prefix(bucket: str) -> str:
    return f"s3://{bucket}/airloom"


def test_a_key_that_the_server_does_not_know_is_a_fault_of_the_settings(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    assert_refused(prefix, r"InvalidAccessKeyId.*AWS_ACCESS_KEY_ID")


def test_a_wrong_signature_is_a_fault_of_the_settings(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    assert_refused(prefix, r"SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY")


def test_no_credentials_are_a_fault_of_the_settings(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert_refused(prefix, r"no credentials .*AWS_ACCESS_KEY_ID.*workload identity")


def test_a_bucket_that_is_not_there_is_a_fault_of_the_settings(bucket: str) -> None:
    assert_refused("s3://airloom-no-such-bucket/airloom", r"no bucket .*AIRLOOM_ARTIFACTS_URI")


def test_what_the_user_may_not_do_is_a_fault_of_the_settings(bucket: str, prefix: str, s3_server: S3Server) -> None:
    S3ObjectStore().write(f"{prefix}/x", b"")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3_server.client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    with pytest.raises(ConfigError, match="AccessDenied"):
        S3ObjectStore().read(f"{prefix}/x")


def assert_refused(prefix: str, why: str) -> None:
    store = S3ObjectStore()
    for ask in (store.read, store.local, store.exists, store.list, store.delete, store.folder):
        with pytest.raises(ConfigError, match=why):
            ask(f"{prefix}/x")
    with pytest.raises(ConfigError, match=why):
        store.write(f"{prefix}/x", b"")
    with pytest.raises(ConfigError, match=why):
        store.replace(f"{prefix}/x", b"", None)


@pytest.mark.parametrize("endpoint", ["not an address", "ftp//x"])
def test_an_endpoint_that_is_none_is_a_fault_of_the_settings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigError, match=endpoint):
        S3ObjectStore()


@pytest.mark.parametrize(
    "uri",
    ["file:///a", "s3:///key", "s3://b", "s3://b/", "s3://b/a//b", "s3://b/../c", "s3://b/%2e%2e/c", "s3://b/a?x"],
)
def test_uris_that_lead_elsewhere_are_refused(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(ConfigError, match="no s3://bucket/key URI"):
        S3ObjectStore().write(uri, b"")


def test_a_server_that_is_away_is_told_and_then_used_again(prefix: str, s3_server: S3Server, tmp_path: Path) -> None:
    store = S3ObjectStore()
    folder = store.folder(f"{prefix}/folder")
    (folder / "x").write_text("kept")
    (tmp_path / "x").write_bytes(b"x" * 20_000_000)
    with s3_server.away():
        started = time.monotonic()
        for ask in (store.read, store.local, store.exists, store.list, store.delete, store.publish_folder):
            with pytest.raises(UnavailableError, match="does not answer"):
                ask(f"{prefix}/folder")
        with pytest.raises(UnavailableError, match="does not answer"):
            store.upload(tmp_path / "x", f"{prefix}/x")
        assert time.monotonic() - started < 7 * 15
    store.publish_folder(f"{prefix}/folder")
    assert (S3ObjectStore().folder(f"{prefix}/folder") / "x").read_text() == "kept"


def test_a_server_that_takes_no_connection_is_told_in_time(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(2)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{full.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            S3ObjectStore().read(f"{prefix}/x")
        assert time.monotonic() - started < 15
        for each in waiting:
            each.close()


def test_a_large_file_goes_up_in_parts_and_comes_down_whole(
    bucket: str, prefix: str, s3_server: S3Server, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 21)
    store = S3ObjectStore()
    artifact = store.upload(source, f"{prefix}/large")
    assert artifact.size == 21 << 20
    assert artifact.digest == f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"
    etag = s3_server.client.head_object(Bucket=bucket, Key="airloom/large")["ETag"]
    assert etag.endswith('-3"'), "in three parts"
    assert store.local(f"{prefix}/large").read_bytes() == source.read_bytes()


def test_of_two_that_publish_a_folder_at_once_one_is_refused_and_tries_again(prefix: str) -> None:
    first, second = S3ObjectStore(), S3ObjectStore()
    for store, name in ((first, "one"), (second, "two")):
        (store.folder(f"{prefix}/folder") / name).write_text(name)
    first.publish_folder(f"{prefix}/folder")
    with pytest.raises(UnavailableError, match="another run has published"):
        second.publish_folder(f"{prefix}/folder")
    assert sorted(path.name for path in S3ObjectStore().folder(f"{prefix}/folder").iterdir()) == ["one"]
    (second.folder(f"{prefix}/folder") / "two").write_text("two")
    second.publish_folder(f"{prefix}/folder")
    assert sorted(path.name for path in first.folder(f"{prefix}/folder").iterdir()) == ["one", "two"]


def test_a_reader_of_a_folder_sees_the_old_files_or_the_new_and_never_a_part(prefix: str) -> None:
    writer = S3ObjectStore()
    folder = writer.folder(f"{prefix}/folder")
    over = threading.Event()
    seen: list[set[str]] = []
    failed: list[BaseException] = []

    def publish(version: int) -> None:
        for name in ("registry", "online", "offline"):
            (folder / name).write_text(str(version))
        writer.publish_folder(f"{prefix}/folder")

    def read() -> None:
        try:
            reader = S3ObjectStore()
            while not over.is_set():
                path = reader.folder(f"{prefix}/folder")
                seen.append({(path / name).read_text() for name in ("registry", "online", "offline")})
        except BaseException as error:
            failed.append(error)

    publish(0)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_until(lambda: bool(seen or failed), "the reader has begun")
        for version in range(1, 15):
            publish(version)
        wait_until(lambda: bool(failed) or seen[-1] == {"14"}, "the reader has the last one")
    finally:
        over.set()
        thread.join()
    assert not failed
    assert all(len(versions) == 1 for versions in seen), "files of two snapshots"
    assert len(list(writer.list(f"{prefix}/folder"))) == 4, "three files and what names them; the old ones are gone"


def test_only_what_has_changed_is_uploaded_again(prefix: str) -> None:
    store = S3ObjectStore()
    folder = store.folder(f"{prefix}/folder")
    (folder / "large").write_text("large")
    (folder / "small").write_text("one")
    store.publish_folder(f"{prefix}/folder")
    before = set(store.list(f"{prefix}/folder"))
    store.publish_folder(f"{prefix}/folder")
    assert set(store.list(f"{prefix}/folder")) == before
    (folder / "small").unlink()
    (folder / "new").write_text("two")
    store.publish_folder(f"{prefix}/folder")
    kept = before & set(store.list(f"{prefix}/folder"))
    assert {uri.rpartition("/")[2] for uri in kept} == {"large", "current.json"}
    assert sorted(path.name for path in S3ObjectStore().folder(f"{prefix}/folder").iterdir()) == ["large", "new"]


def test_a_folder_that_is_held_for_long_leaves_no_old_copies(prefix: str) -> None:
    writer, reader = S3ObjectStore(), S3ObjectStore()
    folder = writer.folder(f"{prefix}/folder")
    given = []
    for version in range(4):
        (folder / "x").write_text(str(version))
        writer.publish_folder(f"{prefix}/folder")
        given.append(reader.folder(f"{prefix}/folder"))
    assert [path.exists() for path in given] == [False, False, True, True]


def test_local_copies_go_away_with_the_process(prefix: str, tmp_path: Path) -> None:
    S3ObjectStore().write(f"{prefix}/x", b"x")
    program = (
        f"from airloom.adapters.s3 import S3ObjectStore as S; s = S(); s.local('{prefix}/x'); s.folder('{prefix}/f')"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_object_is_no_missing_bucket(prefix: str) -> None:
    with pytest.raises(DataError, match=r"no object .*/absent"):
        S3ObjectStore().read_unless(f"{prefix}/absent", None)
