"""`airloom schema`: prints the JSON Schema of a kind of file, or writes every published schema where it belongs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import airloom
from airloom.protocol.schema import build_schemas
from airloom.spec.schema import build_cluster_schema, build_schema

_KINDS = {"Pipeline": build_schema, "Cluster": build_cluster_schema}


def run(arguments: list[str]) -> int:
    """Print the schema, or write it."""
    parser = argparse.ArgumentParser(prog="airloom schema", description="The JSON Schema of a file, for editors.")
    parser.add_argument("--kind", choices=list(_KINDS), default="Pipeline", help="of the file [Pipeline]")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--write", metavar="PATH", type=Path, help="write it to a file instead")
    target.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)  # for Airloom's own sources
    options = parser.parse_args(arguments)
    if options.publish:
        for path, text in build_schema_files().items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    elif options.write is not None:
        options.write.write_text(_format(_KINDS[options.kind]()), encoding="utf-8")
        print(options.write)
    else:
        print(_format(_KINDS[options.kind]()), end="")
    return 0


def build_schema_files() -> dict[Path, str]:
    """Every published schema: its file in the installed package → what it must hold."""
    package = Path(airloom.__file__).parent
    texts = {package / "spec" / f"{kind.lower()}.schema.json": _format(build()) for kind, build in _KINDS.items()}
    for name, schema in build_schemas().items():
        texts[package / "protocol" / "schemas" / f"{name}.json"] = _format(schema)
    return texts


def _format(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
