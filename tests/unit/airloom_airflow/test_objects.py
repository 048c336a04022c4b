"""Objects are read whole or in pieces from each kind of store, and its failures are told in Airloom's words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.forked import call_in_fork

from airloom.errors import ConfigError, UnavailableError
from airloom_airflow.objects import CHUNK_BYTES, NoSuchRangeError, open_object, read_object

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 64)
Put = Callable[[str, bytes], str]


@pytest.fixture(params=["bucket", "container"])
def put(request: pytest.FixtureRequest) -> Put:
    """Puts an object into a store of each kind; gives its URI."""
    if request.param == "bucket":
        bucket, server = request.getfixturevalue("bucket"), request.getfixturevalue("s3_server")

        def put_into_bucket(key: str, content: bytes) -> str:
            server.client.put_object(Bucket=bucket, Key=key, Body=content)
            return f"s3://{bucket}/{key}"

        return put_into_bucket
    import obstore
    from obstore.store import AzureStore

    container = request.getfixturevalue("container")

    def put_into_container(key: str, content: bytes) -> str:
        obstore.put(AzureStore(container, client_options={"allow_http": True}), key, content)
        return f"az://{container}/{key}"

    return put_into_container


def test_an_object_is_read_whole_or_in_pieces(put: Put) -> None:
    uri = put("a/b.bin", CONTENT)
    assert read_object(uri) == CONTENT
    found = open_object(uri)
    assert found is not None
    pieces = list(found.chunks)
    assert (found.size, found.content_range, b"".join(pieces)) == (len(CONTENT), None, CONTENT)
    assert max(map(len, pieces)) <= CHUNK_BYTES
    assert len(pieces) > 1


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [("bytes=2-4", 2, 5), ("bytes=7-", 7, 10), ("bytes=-3", 7, 10), ("bytes=8-99", 8, 10), ("bytes=-99", 0, 10)],
)
def test_a_part_is_read_alone(put: Put, byte_range: str, start: int, end: int) -> None:
    found = open_object(put("ten", b"0123456789"), byte_range)
    assert found is not None
    assert (found.size, found.content_range) == (end - start, f"bytes {start}-{end - 1}/10")
    assert b"".join(found.chunks) == b"0123456789"[start:end]


def test_a_part_outside_the_object_is_told(put: Put) -> None:
    with pytest.raises(NoSuchRangeError):
        open_object(put("ten", b"0123456789"), "bytes=10-")


def test_the_size_alone_can_be_asked_for(put: Put) -> None:
    found = open_object(put("ten", b"0123456789"), with_content=False)
    assert found is not None
    assert (found.size, list(found.chunks)) == (10, [])


def test_what_is_not_there_is_none(put: Put) -> None:
    uri = put("a", b"")
    assert read_object(uri) == b""
    assert read_object(f"{uri}/none") is None
    assert open_object(f"{uri}/none", with_content=False) is None


def test_a_bucket_that_is_not_there_is_a_fault_of_the_settings(put: Put) -> None:
    uri = put("a", b"")
    scheme, _, rest = uri.partition("://")
    with pytest.raises(ConfigError, match="AIRLOOM_ARTIFACTS_URI"):
        read_object(f"{scheme}://airloom-no-such-place/{rest.partition('/')[2]}")


def test_a_store_that_does_not_answer_is_tried_again(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = put("a", b"")
    for name in ("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(UnavailableError, match="does not answer"):
        read_object(uri)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"one")
    assert read_object((tmp_path / "a b").as_uri()) == b"one"
    assert read_object((tmp_path / "none").as_uri()) is None


def test_a_place_that_no_store_has_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="no object store has 'gopher://x/y'"):
        read_object("gopher://x/y")


def test_a_forked_child_reads_objects_or_says_why_it_cannot(put: Put) -> None:
    """obstore's threads do not survive a fork; boto3 has none."""
    uri = put("x", b"x")
    assert read_object(uri) == b"x"
    answer = call_in_fork(lambda: read_object(uri))
    assert answer == b"x" or "was forked from process" in str(answer)


@pytest.mark.parametrize("uri", ["s3://bucket/a#b", "gs://bucket/a?b=c", "az://container/a#"])
def test_a_uri_whose_key_would_be_cut_off_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"holds a \? or #"):
        read_object(uri)
