"""`airloom down`: stop the embedded runtime, and wait until nothing of it is left."""

from __future__ import annotations

import argparse

from airloom.embedded.runtime import Runtime
from airloom.settings import load_settings


def run(arguments: list[str]) -> int:
    """Stop; 0 too where nothing ran."""
    argparse.ArgumentParser(prog="airloom down", description=__doc__).parse_args(arguments)
    settings = load_settings()
    stopped = Runtime(settings).stop()
    print(f"{settings.home}: {'stopped' if stopped else 'nothing was running'}")
    return 0
