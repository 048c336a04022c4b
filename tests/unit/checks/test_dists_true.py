"""A release of two versions, or without its licence, does not pass; writing takes the one version everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.checks.dists_true import find_faults, read_version, write


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project that is all of version 1.2.3."""
    for name, text in {
        "include/pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "include/airloom/__init__.py": '__version__ = "1.2.3"\n',
        "plugins/pyproject.toml": '[project]\nversion = "1.2.3"\ndependencies = [\n    "airloom==1.2.3",\n]\n',
        "helm/airloom/Chart.yaml": 'apiVersion: v2\nname: airloom\nversion: 1.2.3\nappVersion: "1.2.3"\n',
        "docs/page.md": "`airloom-1.2.3-py3-none-any.whl` and airloom-airflow==1.2.3.\n",
        "CHANGELOG.md": "# Changelog\n\n## 1.2.3 – unreleased\n\n## 1.2.2 – 2026-01-01\n",
        "LICENSE": "do as you like",
        "include/LICENSE": "do as you like",
        "plugins/LICENSE": "do as you like",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_one_version_has_no_faults(tree: Path) -> None:
    assert list(find_faults(tree)) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("include/airloom/__init__.py", "1.2.3", "1.2.4"),
        ("plugins/pyproject.toml", 'version = "1.2.3"', 'version = "1.2.4"'),
        ("plugins/pyproject.toml", "airloom==1.2.3", "airloom==1.2.4"),
        ("helm/airloom/Chart.yaml", "\nversion: 1.2.3", "\nversion: 1.2.4"),
        ("helm/airloom/Chart.yaml", 'appVersion: "1.2.3"', 'appVersion: "1.2.4"'),
        ("docs/page.md", "airloom-1.2.3", "airloom-1.2.4"),
        ("docs/page.md", "airflow==1.2.3", "airflow==1.2.4"),
        ("CHANGELOG.md", "## 1.2.3", "## 1.2.4"),
    ],
)
def test_each_place_of_another_version_is_named(tree: Path, name: str, old: str, new: str) -> None:
    path = tree / name
    path.write_text(path.read_text().replace(old, new))
    [fault] = find_faults(tree)
    assert fault.startswith(f"{name}: ")
    assert "1.2.4" in fault


def test_a_place_without_a_version_is_named(tree: Path) -> None:
    (tree / "include/airloom/__init__.py").write_text("")
    [fault] = find_faults(tree)
    assert fault.startswith("include/airloom/__init__.py: nothing in it")


def test_a_version_that_a_chart_could_not_have_is_refused(tree: Path) -> None:
    (tree / "include/pyproject.toml").write_text('[project]\nversion = "1.3rc1"\n')
    assert "three numbers" in next(find_faults(tree))


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_text("do not")])
def test_a_dist_without_the_licence_is_named(tree: Path, spoil) -> None:
    spoil(tree / "plugins" / "LICENSE")
    [fault] = find_faults(tree)
    assert fault.startswith("plugins/LICENSE is not LICENSE")


def test_a_new_version_is_written_everywhere_but_in_the_changelog(tree: Path) -> None:
    (tree / "include/pyproject.toml").write_text('[project]\nversion = "2.0.0"\n')
    (tree / "include" / "LICENSE").unlink()
    write(tree)
    [fault] = find_faults(tree)
    assert fault.startswith("CHANGELOG.md: ")
    assert read_version(tree) == "2.0.0"
    assert (tree / "CHANGELOG.md").read_text().count("1.2.3") == 1
