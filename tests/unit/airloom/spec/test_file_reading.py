"""A file that somebody else wrote is read where that can neither hang, nor fill the memory, nor show another's file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from airloom.errors import SpecError
from airloom.spec.file_reading import MAX_BYTES, lies_in, read_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pipelines" / "ops").mkdir(parents=True)
    return tmp_path / "pipelines"


def test_no_more_is_read_than_shows_that_a_file_is_too_large(root: Path) -> None:
    path = root / "large.yaml"
    path.write_bytes(b"a" * (MAX_BYTES + 2))
    assert len(read_file(path, root)) == MAX_BYTES + 1


def test_what_is_no_regular_file_is_not_read(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe.yaml")
    monkeypatch.chdir(root)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.yaml")
        for path in (root / "pipe.yaml", Path("/dev/zero"), Path("/dev/null")):
            with pytest.raises(SpecError, match=r"is a pipe or a device, so it is not read; put a regular file"):
                read_file(path)
        with pytest.raises(SpecError, match=r"socket.yaml: cannot be read"):
            read_file(root / "socket.yaml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        read_file(root)


def test_no_file_is_left_open(root: Path) -> None:
    os.mkfifo(root / "pipe.yaml")
    (root / "good.yaml").write_text("a: 1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert read_file(root / "good.yaml", root) == b"a: 1"
    for name in ("pipe.yaml", "ops", "absent.yaml"):
        with pytest.raises(SpecError):
            read_file(root / name, root)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def link_file(root: Path, outside: Path) -> None:
    (root / "ops" / "p.yaml").symlink_to(outside / "p.yaml")


def link_folder(root: Path, outside: Path) -> None:
    (root / "ops").rmdir()
    (root / "ops").symlink_to(outside)


def link_twice(root: Path, outside: Path) -> None:
    (root / "way").symlink_to(outside)
    (root / "ops" / "p.yaml").symlink_to("../way/p.yaml")


@pytest.mark.parametrize("link", [link_file, link_folder, link_twice])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_out_of_the_root_is_not_read_and_tells_nothing_of_what_is_there(tmp_path, root, link, there) -> None:
    outside = tmp_path / "pipelines-of-others"  # begins as the root does
    outside.mkdir()
    if there:
        (outside / "p.yaml").write_text("secret")
    link(root, outside)
    with pytest.raises(SpecError, match=r"leads out of the folder.*; put the file itself there") as no:
        read_file(root / "ops" / "p.yaml", root)
    assert "secret" not in str(no.value)
    assert str(outside) not in str(no.value)


def test_a_link_within_the_root_is_read_as_that_of_a_config_map_must_be(tmp_path: Path, root: Path) -> None:
    """As Kubernetes' kubelet lays a ConfigMap out (`pkg/volume/util/atomic_writer.go`), in a root that is a link."""
    (root / "..2026_11_25" / "ml").mkdir(parents=True)
    (root / "..2026_11_25" / "ml" / "p.yaml").write_text("a: 1")
    (root / "..data").symlink_to("..2026_11_25")
    (root / "ml").symlink_to("..data/ml")
    (tmp_path / "current").symlink_to(root)
    for place in (root, tmp_path / "current"):
        assert read_file(place / "ml" / "p.yaml", place) == b"a: 1"
    assert lies_in(root, tmp_path / "current" / "ml")


def test_a_path_with_two_dots_is_followed_to_its_end(tmp_path: Path, root: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    assert not lies_in(root, root / ".." / "secret")
    assert lies_in(root, root / "ops" / ".." / "ops")
