"""`airloom up`: start the embedded Airflow, MLflow and gateway, and leave them running."""

from __future__ import annotations

import argparse
import signal

from airloom.cli.console import Console
from airloom.cli.status import print_places
from airloom.embedded.runtime import Runtime
from airloom.settings import load_settings


def run(arguments: list[str]) -> int:
    """Start; 0 once everything is ready, or where it runs already."""
    parser = argparse.ArgumentParser(prog="airloom up", description=__doc__)
    parser.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops everything")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    runtime = Runtime(load_settings(), say=lambda text: console.print(f"waiting for {text}"))
    if runtime.state:
        console.print("It runs already.")
        print_places(console, runtime)
        return 0
    runtime.start()
    print_places(console, runtime)
    if not options.foreground:
        runtime.let_go()
        return 0
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        runtime.stop()
    return 0
