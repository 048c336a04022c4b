"""Asks the Airflow side, `python -m airloom_airflow.doctor`, with Airflow's own Python: this side cannot import it.

Where Airflow is the embedded one (no variable of this environment says otherwise), its settings are the supervisor's,
and what `airloom up` makes at its start is told as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.embedded.addresses import Addresses, choose_addresses, port_of
from airloom.embedded.airflow_environment import build_airflow_environ, find_airflow
from airloom.embedded.state import read_state
from airloom.errors import ConfigError
from airloom.settings import Settings
from airloom.telemetry import SWITCHES

_SECONDS = 120
CHECK = "Airflow"


def is_embedded(environ: Mapping[str, str]) -> bool:
    """Whether Airflow is the one that `airloom up` starts: nothing here says how another one is set up."""
    told = (name for name in environ if name not in SWITCHES)
    return not any(name == "AIRFLOW_HOME" or name.startswith("AIRFLOW__") for name in told)


def find_addresses(settings: Settings, environ: Mapping[str, str]) -> Addresses | None:
    """Where the embedded runtime's pieces listen; None where it does not run."""
    try:
        state = read_state(settings.home) if is_embedded(environ) else None
    except ConfigError:  # `check_ports` tells
        return None
    return state.addresses if state and state.alive else None


def check_ports(settings: Settings, environ: Mapping[str, str]) -> Diagnosis:
    """Whether the embedded runtime runs, or could have its ports."""
    try:
        read_state(settings.home)
    except ConfigError as error:
        return wrong("ports", str(settings.home), str(error), "See the message.")
    if addresses := find_addresses(settings, environ):
        return right("ports", str(settings.home), f"the embedded runtime runs: {addresses.airflow}")
    try:
        choose_addresses(environ)
    except ConfigError as error:
        return wrong("ports", "AIRLOOM_…_PORT", str(error).removeprefix("nothing was started: "), "See the message.")
    return right("ports", str(settings.home), "the ports of the embedded runtime are free")


def ask_airflow(settings: Settings, arguments: Sequence[str], environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    """Airflow's and the cluster's diagnoses.

    Args:
        settings: the installation.
        arguments: of `python -m airloom_airflow.doctor`.
        environ: of the command.
    """
    try:
        airflow = find_airflow(environ)
    except ConfigError as error:
        airflow = Path(sys.executable).with_name("airflow")
        if "AIRLOOM_AIRFLOW_BIN" in environ or not airflow.is_file():
            yield wrong(CHECK, "AIRLOOM_AIRFLOW_BIN", str(error), "See the message.")
            return
    python = airflow.with_name("python")
    with tempfile.TemporaryDirectory(prefix="airloom-doctor-") as folder:
        given = {**environ, "PYTHONWARNINGS": "ignore"}
        if is_embedded(environ):
            addresses = find_addresses(settings, environ)
            if known := addresses or _expect_addresses(environ):  # what the supervisor tells Airflow
                given |= {"AIRLOOM_TRACKING_URI": known.mlflow, "AIRLOOM_GATEWAY_URL": known.gateway}
            if addresses is None:
                given["AIRFLOW_HOME"] = folder  # importing Airflow makes its home
                arguments = [*arguments, "--not-started"]
            else:
                given |= build_airflow_environ(
                    settings.home / "airflow", port_of(addresses.airflow), None, settings.dag_files
                )
                given.setdefault("AIRLOOM_STAGE_PYTHON", sys.executable)
        yield from _ask([str(python), "-m", "airloom_airflow.doctor", *arguments], given)


def _expect_addresses(environ: Mapping[str, str]) -> Addresses | None:
    """Where the embedded runtime would listen; None where it could not start, which `check_ports` tells."""
    try:
        return choose_addresses(environ)
    except ConfigError:
        return None


def _ask(command: list[str], environ: Mapping[str, str]) -> Iterator[Diagnosis]:
    again = f"Run it by hand and mend what it says: {' '.join(command)}"
    try:
        told = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=os.sep
        )
    except subprocess.TimeoutExpired:
        yield wrong(CHECK, command[0], f"the checks of the Airflow side did not end within {_SECONDS} s", again)
        return
    except OSError as error:
        yield wrong(CHECK, command[0], f"Airflow's Python cannot be started: {error.strerror}", again)
        return
    if "No module named" in told.stderr and "airloom_airflow" in told.stderr.splitlines()[-1]:
        message = "airloom-airflow is not installed in Airflow's environment"
        yield wrong(CHECK, command[0], message, f"{command[0]} -m pip install airloom-airflow")
        return
    try:
        yield from (Diagnosis.from_json(each) for each in json.loads(told.stdout.strip().splitlines()[-1]))
    except (ValueError, TypeError, IndexError):
        last = (told.stderr.strip() or told.stdout.strip() or "nothing").splitlines()[-1]
        yield wrong(CHECK, command[0], f"the Airflow side ended with status {told.returncode}: {last}", again)


def tell_not_started(check: str, where: str) -> Diagnosis:
    """Of a server that the embedded runtime brings, and that does not run now."""
    return unchecked(check, where, "`airloom up` starts it, and has not yet", "Run `airloom up`, then this again.")
