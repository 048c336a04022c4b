"""Set-up's, the demo's and the wheels' own figures, as `make setup`, `make demo` and `make test-dist` wrote them when
they last ran."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure

_BUILD = Path("build")
_SETUP_SECONDS, _PIP_SECONDS, _DEMO_SECONDS, _DEMO_BYTES = 180, 180, 300, 4e9


def measure_setup_and_demo() -> Iterator[Figure]:
    """What is there; what is not is told, and left out."""
    if demo := _read("demo.json", "make demo"):
        yield Figure("make demo", demo["seconds"], "s", "limit", _DEMO_SECONDS, 1.0)
        yield Figure("make demo, peak memory", demo["peak_memory_bytes"] / 1e9, "GB", "limit", _DEMO_BYTES / 1e9, 1.0)
    if setup := _read("setup.json", "make setup in a fresh clone"):
        yield Figure("set-up", setup["seconds"], "s", "limit", _SETUP_SECONDS, 1.0)
    if pip := _read("pip.json", "make test-dist"):
        yield Figure("pip install to first model", pip["seconds"], "s", "limit", _PIP_SECONDS, 1.0)


def _read(name: str, command: str) -> dict[str, Any] | None:
    try:
        found = json.loads((_BUILD / name).read_text())
    except FileNotFoundError:
        print(f"{name} is not there: `{command}` has not been run here, and its figures are left out")
        return None
    assert isinstance(found, dict)
    return found
