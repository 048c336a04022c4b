"""Whether a module that a pipeline names is there, and has the name that is asked of it, without running any of it.

`libraries` calls it, in the stages' Python. Files are looked for as Python's import looks; a name is looked for in the
module's source, and counts as there where that cannot tell.
"""

from __future__ import annotations

import ast
import importlib.util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def find_code_fault(module: str, name: str, data_root: Path) -> str | None:
    """What is not there; None where all is. The module's package must be.

    Args:
        module: dotted.
        name: of a function or class in it.
        data_root: where modules are looked for first.
    """
    top, *parts = module.split(".")
    found = PathFinder.find_spec(top, [str(data_root)]) or importlib.util.find_spec(top)
    so_far = top
    for part in parts:
        if found is None or found.submodule_search_locations is None:
            return f"there is no module {module}: {so_far} is no package"
        places = list(found.submodule_search_locations)
        found = PathFinder.find_spec(part, places)
        if found is None:
            return f"there is no module {module}: {so_far} ({', '.join(places)}) has no {part}"
        so_far += f".{part}"
    names = _list_names(found) if found else None
    if names is None or name in names:
        return None
    return f"module {module} has no {name}; it has: {', '.join(sorted(names)) or 'nothing'}"


def _list_names(found: ModuleSpec) -> set[str] | None:
    """What a module's source binds at its top; None where only running it would tell."""
    if found.origin is None or not found.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(found.origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    names: set[str] = set()
    for each in tree.body:
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            continue  # a docstring
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(each.name)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            names |= {part.id for part in ast.walk(each) if isinstance(part, ast.Name)}
        else:
            return None  # `if`, `try`, a call, …: what they bind shows when they run
    return None if names & {"*", "__getattr__"} else names
