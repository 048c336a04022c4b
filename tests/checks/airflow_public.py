"""Does the Airflow side use Airflow's public interface alone, but for `speedups/`? `make check` runs it.

It reads the code: imports of modules and names that are private or not public, also by `import_module`; private names
of what was imported; attributes of it that are set. What a subclass reaches by `self` it cannot see.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIDE = ROOT / "plugins"
EXEMPT = "airloom_airflow/speedups"
_DOCS = "https://airflow.apache.org/docs/apache-airflow/stable"
_INTERFACE = f"{_DOCS}/public-airflow-interface.html"
PUBLIC: Mapping[str, str] = {
    "airflow.sdk": _INTERFACE,
    "airflow.sdk.exceptions": "where airflow.exceptions, deprecated in its place from 3.2 on, sends whoever imports it",
    "airflow.sdk.log": f"{_DOCS}/security/secrets/mask-sensitive-values.html",
    "airflow.sdk.types": _INTERFACE,
    "airflow.sdk.definitions.deadline": f"{_DOCS}/howto/deadline-alerts.html, as of 3.1",
    "airflow.sdk.definitions.callback": f"{_DOCS}/howto/deadline-alerts.html, from 3.2 on",
    "airflow.exceptions": _INTERFACE,
    "airflow.triggers.*": _INTERFACE,
    "airflow.timetables.*": _INTERFACE,
    "airflow.listeners.*": _INTERFACE,
    "airflow.secrets.*": _INTERFACE,
    "airflow.utils.state": _INTERFACE,
    "airflow.executors.base_executor": _INTERFACE,
    "airflow.api_fastapi.auth.managers.base_auth_manager": _INTERFACE,
    "airflow.api_fastapi.auth.managers.models.base_user": f"{_DOCS}/core-concepts/auth-manager/index.html",
    "airflow.api_fastapi.auth.managers.models.resource_details": f"{_DOCS}/core-concepts/auth-manager/index.html",
    "airflow.plugins_manager": f"{_DOCS}/administration-and-deployment/plugins.html",
    "airflow.dag_processing.bundles.base": f"{_DOCS}/administration-and-deployment/dag-bundles.html",
    "airflow.configuration": "settings' only accessor outside a task; airflow.sdk.conf is not in 3.1",
    "airflow.providers.*": "distributions of their own, versioned semantically",
}
"""Module, or package and all below it (`.*`) → who says that it is public."""


def main() -> int:
    """Print what is not public; 1 if anything."""
    paths = sorted(path for path in SIDE.rglob("*.py") if not path.relative_to(SIDE).as_posix().startswith(EXEMPT))
    faults = [
        f"{path.relative_to(ROOT)}:{fault}" for path in paths for fault in find_faults(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(faults) or f"{len(paths)} modules use Airflow's public interface alone")
    if faults:
        print(f"Use what is public ({_INTERFACE}), or give the need a module in plugins/{EXEMPT}.")
    return 1 if faults else 0


def find_faults(code: str) -> Iterator[str]:
    """`line: what is not public` for one module's code."""
    tree = ast.parse(code)
    names = _find_names(tree)
    for node in ast.walk(tree):
        for fault in (*_check_import(node), *_check_use(node, names)):
            yield f"{node.lineno}: {fault}"  # type: ignore[attr-defined]


def is_public(module: str) -> bool:
    """Whether a module of Airflow's is on the list, and no part of its path is private."""
    if any(part.startswith("_") for part in module.split(".")):
        return False
    packages = (name.removesuffix(".*") for name in PUBLIC if name.endswith(".*"))
    return module in PUBLIC or any(f"{module}.".startswith(f"{package}.") for package in packages)


def _find_names(tree: ast.AST) -> set[str]:
    """Names that are bound to something of Airflow's, or to Airflow itself."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {(name.asname or name.name).partition(".")[0] for name in node.names if _is_airflow(name.name)}
        elif isinstance(node, ast.ImportFrom) and _is_airflow(node.module or "") and not node.level:
            bound |= {name.asname or name.name for name in node.names}
    return bound


def _check_import(node: ast.AST) -> Iterator[str]:
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [name.name for name in node.names if _is_airflow(name.name)]
    elif isinstance(node, ast.ImportFrom) and _is_airflow(node.module or "") and not node.level:
        assert node.module
        yield from (f"{node.module}.{name.name} is private" for name in node.names if name.name.startswith("_"))
        if not is_public(node.module):  # `from airflow import plugins_manager` names a module
            modules = [f"{node.module}.{name.name}" for name in node.names]
            modules = modules if node.module == "airflow" else [node.module]
    elif isinstance(node, ast.Call) and node.args and _last_name(node.func) in ("import_module", "import_string"):
        literal = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
        modules = [literal] if isinstance(literal, str) and _is_airflow(literal) else []
    yield from (f"{module} is not of Airflow's public interface" for module in modules if not is_public(module))


def _check_use(node: ast.AST, names: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and _first_name(node) in names:
        if isinstance(node.ctx, ast.Store | ast.Del):
            yield f"{ast.unparse(node)} is set: a patch of Airflow"
        elif node.attr.startswith("_") and not node.attr.endswith("__"):
            yield f"{ast.unparse(node)} is private"
    elif (
        isinstance(node, ast.Call)
        and _last_name(node.func) in ("setattr", "delattr")
        and node.args
        and _first_name(node.args[0]) in names
    ):
        yield f"{ast.unparse(node)} is a patch of Airflow"


def _is_airflow(module: str) -> bool:
    return module.partition(".")[0] == "airflow"


def _first_name(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else _first_name(node)


if __name__ == "__main__":
    sys.exit(main())
