"""`airloom schema`: prints the pipeline file's JSON Schema, or writes every published schema where it belongs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import airloom
from airloom.protocol.schema import build_schemas
from airloom.spec.schema import build_schema


def run(arguments: list[str]) -> int:
    """Print the schema, or write it."""
    parser = argparse.ArgumentParser(prog="airloom schema", description="The pipeline file's JSON Schema, for editors.")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--write", metavar="PATH", type=Path, help="write it to a file instead")
    target.add_argument("--publish", action="store_true", help="write it and the protocol's schemas into the package")
    options = parser.parse_args(arguments)
    if options.publish:
        for path, text in build_schema_files().items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
    elif options.write is not None:
        options.write.write_text(_format(build_schema()), encoding="utf-8")
        print(options.write)
    else:
        print(_format(build_schema()), end="")
    return 0


def build_schema_files() -> dict[Path, str]:
    """Every published schema: its file in the installed package → what it must hold."""
    package = Path(airloom.__file__).parent
    texts = {package / "spec" / "pipeline.schema.json": _format(build_schema())}
    for name, schema in build_schemas().items():
        texts[package / "protocol" / "schemas" / f"{name}.json"] = _format(schema)
    return texts


def _format(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
