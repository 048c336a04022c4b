"""`airloom status`: what of the embedded runtime runs, and where; and which models are served without a pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace

from rich.markup import escape
from rich.table import Table

from airloom.cli.console import Console
from airloom.embedded.runtime import Runtime
from airloom.embedded.state import log_path
from airloom.errors import AirloomError, SpecError
from airloom.ports import ModelRegistry
from airloom.settings import Settings, load_settings
from airloom.spec import find_pipeline_files, load_pipeline
from airloom.stages.champion import CHAMPION
from airloom.stages.wiring import EmbeddedPorts

NOTHING_RUNS = 3
"""Exit status, as `systemctl status` gives it."""


def run(arguments: list[str]) -> int:
    """Tell; 0 where everything runs, 3 where nothing does, else 1."""
    argparse.ArgumentParser(prog="airloom status", description=__doc__).parse_args(arguments)
    runtime = Runtime(load_settings())
    console = Console(soft_wrap=True, highlight=False)
    state = runtime.state
    if state is None:
        console.print(f"{runtime.settings.home}: nothing runs")
        return NOTHING_RUNS
    console.print(f"{runtime.settings.home}: {state.phase}", f"({state.reason})" if state.reason else "")
    table = Table("piece", "process", "restarts")
    table.add_column("log", overflow="fold")
    for name, piece in state.pieces.items():
        table.add_row(name, str(piece.pid), str(piece.restarts), str(log_path(runtime.settings.home, name)))
    console.print(table)
    print_places(console, runtime)
    if state.phase != "ready":
        return 1
    settings = replace(runtime.settings, tracking_uri=runtime.addresses.mlflow)
    for line in list_abandoned(settings, EmbeddedPorts(settings, settings.artifacts_uri).model_registry):
        console.print(escape(line))
    return 0


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


def list_abandoned(settings: Settings, registry: ModelRegistry) -> Iterable[str]:
    """A line for each champion that no pipeline file stands for, and for what could not be found out."""
    known: set[str] = set()
    unread: dict[str, str] = {}
    for path in find_pipeline_files(settings.pipelines):
        try:
            known.add(load_pipeline(path, settings.pipelines, settings.environment).full_name)
        except SpecError:
            parts = path.relative_to(settings.pipelines).parts
            team = parts[0] if len(parts) > 1 else ""  # in the root itself: it may be of any team
            unread.setdefault(team, str(path))
    try:
        for model in sorted(set(registry.names()) - known):
            champion = registry.find(model, CHAMPION)
            if champion is None:
                continue
            told = f"{model} version {champion.version} is champion and served, and"
            if other := unread.get(model.partition(".")[0], unread.get("")):
                yield f"{told} whether a file stands for it is not known: {other} is not valid, see `airloom validate`"
            else:
                yield (
                    f"{told} no file in {settings.pipelines} makes {model} any more: nothing monitors it, retrains it "
                    f"or rolls it back. Put its file back; or, to end its serving, take the alias {CHAMPION} off it in "
                    f"MLflow: {settings.tracking_uri}/#/models/{model}"
                )
    except AirloomError as error:
        yield f"whether every champion has its pipeline file was not checked: {error}"
