"""Are the committed JSON Schemas those of the models? `make check` runs it."""

from __future__ import annotations

import sys

from airloom.cli.schema import build_schema_files


def main() -> int:
    """Print what is stale; 1 if anything."""
    files = build_schema_files()
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path} is not what the models give; run `airloom schema --publish` and commit it")
    if not stale:
        print(f"{len(files)} schemas are current")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
