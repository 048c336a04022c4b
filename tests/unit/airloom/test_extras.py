"""One extra per adapter: it brings all that the adapter imports, and no adapter is without one that needs one."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import airloom

ADAPTERS = Path(airloom.__file__).parent / "adapters"
EXTRAS = {
    "duckdb": "duckdb",
    "evidently": "evidently",
    "feast": "feast",
    "gateway": "serving",
    "great_expectations": "great-expectations",
    "local_folder": "",
    "mlflow": "mlflow",
    "obstore": "obstore",
    "openlineage": "openlineage",
    "prediction_files": "duckdb",
    "s3": "s3",
}


def find_imports(adapter: Path) -> Iterator[str]:
    """Tops of what its modules import, in functions too; left out are Python's own, ours, and what only types need."""
    for path in adapter.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for_types = {
            node
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
            for node in ast.walk(branch)
        }
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            tops = {name.partition(".")[0] for name in names if node not in for_types}
            yield from tops - sys.stdlib_module_names - {"airloom"}


def find_brought(dist: str, extra: str) -> set[str]:
    """Distributions that come with one, at any depth."""
    seen: set[tuple[str, str]] = set()
    left = [(dist, extra)]
    while left:
        if (one := left.pop()) in seen:
            continue
        seen.add(one)
        for text in importlib.metadata.requires(one[0]) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": one[1]}):
                name = canonicalize_name(requirement.name)
                left += [(name, each) for each in ("", *requirement.extras)]
    return {name for name, _ in seen}


def test_each_adapter_is_known_here() -> None:
    assert {path.name for path in ADAPTERS.iterdir() if (path / "__init__.py").is_file()} == set(EXTRAS)


@pytest.mark.parametrize("adapter", EXTRAS)
def test_an_adapters_extra_brings_what_it_imports(adapter: str) -> None:
    dists = importlib.metadata.packages_distributions()
    brought = find_brought("airloom", EXTRAS[adapter])
    assert {
        name
        for name in find_imports(ADAPTERS / adapter)
        if not brought & {canonicalize_name(dist) for dist in dists[name]}
    } == set()
