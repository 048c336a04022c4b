"""docs/install-into-your-airflow.md: the wheels that it names are those that are made, whole, with their extras."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "install-into-your-airflow.md").read_text()
DISTS = {"airloom": "include", "airloom_airflow": "plugins"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As `make dist` makes them, elsewhere."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in DISTS.values():
        command = [ROOT / ".venv/uv/bin/uv", "build", "--quiet", "--offline", "--wheel", "-o", folder, ROOT / source]
        subprocess.run(command, check=True)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


def test_the_page_names_the_wheels_that_are_made(wheels: dict[str, Path]) -> None:
    assert set(re.findall(r"airloom[\w.-]*\.whl", PAGE)) == {path.name for path in wheels.values()}


@pytest.mark.parametrize("dist", DISTS)
def test_a_wheel_has_all_that_the_sources_have(wheels: dict[str, Path], dist: str) -> None:
    package = ROOT / DISTS[dist] / dist
    sources = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[dist]) as wheel:
        assert sources <= set(wheel.namelist())


@pytest.mark.parametrize("dist", DISTS)
def test_the_extras_that_the_page_names_are_there(dist: str) -> None:
    project = tomllib.loads((ROOT / DISTS[dist] / "pyproject.toml").read_text())["project"]
    [extras] = re.findall(rf"{dist}-[\d.]+-py3-none-any\.whl\[([\w,-]+)\]", PAGE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
