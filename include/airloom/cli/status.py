"""`airloom status`: what of the embedded runtime runs, and where."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from airloom.embedded.runtime import Runtime
from airloom.embedded.state import log_path
from airloom.settings import load_settings


def run(arguments: list[str]) -> int:
    """Tell; 0 where everything runs, else 1."""
    argparse.ArgumentParser(prog="airloom status", description=__doc__).parse_args(arguments)
    runtime = Runtime(load_settings())
    console = Console(soft_wrap=True, highlight=False)
    state = runtime.state
    if state is None:
        console.print(f"{runtime.settings.home}: nothing runs")
        return 1
    console.print(f"{runtime.settings.home}: {state.phase}", f"({state.reason})" if state.reason else "")
    table = Table("piece", "process", "restarts")
    table.add_column("log", overflow="fold")
    for name, piece in state.pieces.items():
        table.add_row(name, str(piece.pid), str(piece.restarts), str(log_path(runtime.settings.home, name)))
    console.print(table)
    print_places(console, runtime)
    return 0 if state.phase == "ready" else 1


def print_places(console: Console, runtime: Runtime) -> None:
    """The addresses, and where Airflow's password lies."""
    for name, place in find_places(runtime).items():
        console.print(f"{name:<10} {place}")


def find_places(runtime: Runtime) -> dict[str, str]:
    """Name → address."""
    addresses = runtime.addresses
    passwords = runtime.settings.home / "airflow" / "passwords.json"
    return {
        "Airflow": f"{addresses.airflow}  (user admin, password in {passwords})",
        "MLflow": addresses.mlflow,
        "Gateway": f"{addresses.gateway}/docs",
    }
