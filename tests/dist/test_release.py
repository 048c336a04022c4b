"""What `make dist` leaves: whole, of one version, with the licence, and the same bytes again."""

from __future__ import annotations

import email
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from tests.checks.dists_true import DISTS, ROOT, read_version
from tests.dist.__main__ import CONSTRAINTS, IMAGES, SUMS, list_pins, main, pack_chart

VERSION = read_version()
NAMES = {"include": "airloom", "plugins": "airloom_airflow"}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    assert main([str(folder)]) == 0
    return folder


def read_metadata(release: Path, dist: str) -> Message:
    with zipfile.ZipFile(release / f"{NAMES[dist]}-{VERSION}-py3-none-any.whl") as wheel:
        return email.message_from_bytes(wheel.read(f"{NAMES[dist]}-{VERSION}.dist-info/METADATA"))


def test_all_of_it_is_there_and_its_sums_are_right(release: Path) -> None:
    sums = dict(reversed(line.split()) for line in (release / SUMS).read_text().splitlines())
    assert set(sums) == {path.name for path in release.iterdir()} - {SUMS}
    assert {f"{name}-{VERSION}{end}" for name in NAMES.values() for end in ("-py3-none-any.whl", ".tar.gz")} <= set(sums)
    assert all(hashlib.sha256((release / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())


def test_images_have_the_tags_of_the_version(release: Path) -> None:
    tags = (release / IMAGES).read_text().split()
    assert "airloom/serve:" + VERSION in tags
    assert {tag.partition(":")[2] for tag in tags} == {VERSION}


@pytest.mark.parametrize("dist", DISTS)
def test_a_wheel_says_what_it_is(release: Path, dist: str) -> None:
    told = read_metadata(release, dist)
    assert told["Version"] == VERSION
    assert told["License-Expression"] == "Apache-2.0"
    for field in ("Summary", "Keywords", "Author", "Requires-Python", "Project-URL", "License-File"):
        assert told[field], field
    assert "Typing :: Typed" in told.get_all("Classifier", [])
    assert "pip install" in told.get_payload(), "the page on an index says how to begin"


@pytest.mark.parametrize("dist", DISTS)
def test_wheel_and_archive_carry_the_licence_and_the_types_marker(release: Path, dist: str) -> None:
    name, licence = NAMES[dist], (ROOT / "LICENSE").read_bytes()
    with zipfile.ZipFile(release / f"{name}-{VERSION}-py3-none-any.whl") as wheel:
        assert wheel.read(f"{name}-{VERSION}.dist-info/licenses/LICENSE") == licence
        assert f"{name}/py.typed" in wheel.namelist()
    with tarfile.open(release / f"{name}-{VERSION}.tar.gz") as archive:
        content = archive.extractfile(f"{name}-{VERSION}/LICENSE")
        assert content is not None
        assert content.read() == licence


def test_the_two_dists_of_a_release_belong_together(release: Path) -> None:
    assert f"airloom=={VERSION}" in read_metadata(release, "plugins").get_all("Requires-Dist", [])


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_are_the_locks_pins_without_hashes(release: Path, name: str) -> None:
    pins = (release / name).read_text().splitlines()
    assert len(pins) == len(re.findall(r"^\S+==", (ROOT / CONSTRAINTS[name]).read_text(), re.MULTILINE))
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+", pin) for pin in pins)


def test_the_same_sources_give_the_same_bytes(release: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.dist", tmp_path / "again"], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "again" / SUMS).read_text() == (release / SUMS).read_text()


def test_a_chart_is_packed_below_its_name_without_hidden_files(tmp_path: Path) -> None:
    chart = tmp_path / "airloom"
    (chart / "templates").mkdir(parents=True)
    for name in ("Chart.yaml", "templates/role.yaml", ".helmignore"):
        (chart / name).write_text(name)
    pack_chart(chart, tmp_path / "chart.tgz")
    with tarfile.open(tmp_path / "chart.tgz") as archive:
        assert archive.getnames() == ["airloom/Chart.yaml", "airloom/templates/role.yaml"]
        assert {entry.mtime for entry in archive} == {0}


def test_pins_are_read_without_their_hashes() -> None:
    assert list(list_pins("rich==14.1 \\\n    --hash=sha256:00\ncelery[redis]==5.6.0 \\\n")) == [
        "rich==14.1",
        "celery[redis]==5.6.0",
    ]


@pytest.mark.parametrize(
    ("dist", "text"),
    [
        ("include", "[console_scripts]\nairloom = airloom.cli:main\n"),
        ("plugins", "[airflow.plugins]\nairloom = airloom_airflow.plugin:AirloomPlugin\n"),
    ],
)
def test_a_wheel_has_its_entry_point(release: Path, dist: str, text: str) -> None:
    with zipfile.ZipFile(release / f"{NAMES[dist]}-{VERSION}-py3-none-any.whl") as wheel:
        assert wheel.read(f"{NAMES[dist]}-{VERSION}.dist-info/entry_points.txt").decode().strip() == text.strip()
