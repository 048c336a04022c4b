"""Asks the Airflow side, `python -m airloom_airflow.doctor`, with Airflow's own Python: this side cannot import it.
It says too where the pipeline files lie, since Airflow's configuration may have them in a bucket or a repository.

Where Airflow is the embedded one (no variable of this environment says otherwise), its settings are the supervisor's,
and what `airloom up` makes at its start is told as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airloom.diagnosis import Diagnosis, right, unchecked, wrong
from airloom.embedded.addresses import Addresses, choose_addresses, port_of
from airloom.embedded.airflow_environment import build_airflow_environ, describe_remedy, find_airflow
from airloom.embedded.state import read_state
from airloom.errors import ConfigError
from airloom.settings import Settings
from airloom.telemetry import SWITCHES

_SECONDS = 120
CHECK = "Airflow"


@dataclass(frozen=True)
class AirflowSide:
    """What the Airflow side found.

    Attributes:
        folders: of pipeline files → what each is called in messages; None: not said, `AIRLOOM_PIPELINES` is meant.
    """

    diagnoses: tuple[Diagnosis, ...]
    folders: Mapping[Path, str] | None = None


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
        fault, _, remedy = str(error).partition(". ")
        return wrong("ports", str(settings.home), fault, remedy)
    if addresses := find_addresses(settings, environ):
        return right("ports", str(settings.home), f"the embedded runtime runs: {addresses.airflow}")
    try:
        choose_addresses(environ)
    except ConfigError as error:
        fault = str(error).removeprefix("nothing was started: ")
        remedy = "Give each piece a port that is free, by its AIRLOOM_…_PORT; 0 is any that is."
        return wrong("ports", "AIRLOOM_…_PORT", fault, remedy)
    return right("ports", str(settings.home), "the ports of the embedded runtime are free")


def ask_airflow(settings: Settings, arguments: Sequence[str], environ: Mapping[str, str], scratch: Path) -> AirflowSide:
    """Airflow's and the cluster's diagnoses.

    Args:
        settings: the installation.
        arguments: of `python -m airloom_airflow.doctor`.
        environ: of the command.
        scratch: an empty folder; copies of pipeline files that lie elsewhere are in it afterwards.
    """
    try:
        airflow = find_airflow(environ)
    except ConfigError as error:
        airflow = Path(sys.executable).with_name("airflow")
        if "AIRLOOM_AIRFLOW_BIN" in environ or not airflow.is_file():
            return AirflowSide((_tell_no_airflow(str(error).partition(". ")[0], environ),))
    given = {
        **environ,
        "PYTHONWARNINGS": "ignore",
        "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer
        # resolved here: the other process does not start in this one's folder
        "AIRLOOM_HOME": str(settings.home),
        "AIRLOOM_DATA_ROOT": str(settings.data_root),
        "AIRLOOM_PIPELINES": str(settings.pipelines),
    }
    arguments = [*arguments, f"--copies={scratch / 'bundles'}"]
    if is_embedded(environ):
        addresses = find_addresses(settings, environ)
        if known := addresses or _expect_addresses(environ):  # what the supervisor tells Airflow
            given |= {"AIRLOOM_TRACKING_URI": known.mlflow, "AIRLOOM_GATEWAY_URL": known.gateway}
        if addresses is None:
            given["AIRFLOW_HOME"] = str(scratch / "airflow")  # importing Airflow makes its home
            arguments.append("--not-started")
        else:
            given |= build_airflow_environ(
                settings.home / "airflow", port_of(addresses.airflow), None, settings.dag_files
            )
            given.setdefault("AIRLOOM_STAGE_PYTHON", sys.executable)
    return _ask([str(airflow.with_name("python")), "-m", "airloom_airflow.doctor", *arguments], given)


def _tell_no_airflow(message: str, environ: Mapping[str, str]) -> Diagnosis:
    """Nobody has to have an Airflow: that is wrong only where something says that there is one."""
    remedy = describe_remedy(environ)
    if "AIRLOOM_AIRFLOW_BIN" in environ or not is_embedded(environ):
        return wrong(CHECK, "AIRLOOM_AIRFLOW_BIN", message, remedy)
    remedy += " Where Airflow is one of your own, run `airloom doctor` in its environment too."
    return unchecked(CHECK, "AIRLOOM_AIRFLOW_BIN", f"{message}; `airloom run` needs none, `airloom up` does", remedy)


def _expect_addresses(environ: Mapping[str, str]) -> Addresses | None:
    """Where the embedded runtime would listen; None where it could not start, which `check_ports` tells."""
    try:
        return choose_addresses(environ)
    except ConfigError:
        return None


def _ask(command: list[str], environ: Mapping[str, str]) -> AirflowSide:
    again = f"Run it by hand and mend what it says: {' '.join(command)}"
    try:
        told = subprocess.run(
            command, env=dict(environ), capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=os.sep
        )
    except subprocess.TimeoutExpired:
        message = f"the checks of the Airflow side did not end within {_SECONDS} s"
        return AirflowSide((wrong(CHECK, command[0], message, again),))
    except OSError as error:
        return AirflowSide((wrong(CHECK, command[0], f"Airflow's Python cannot be started: {error.strerror}", again),))
    if "No module named" in told.stderr and "airloom_airflow" in told.stderr.splitlines()[-1]:
        message = "airloom-airflow is not installed in Airflow's environment"
        return AirflowSide((wrong(CHECK, command[0], message, f"{command[0]} -m pip install airloom-airflow"),))
    try:
        answer = json.loads(told.stdout.strip().splitlines()[-1])
        folders = answer["folders"]
        return AirflowSide(
            tuple(Diagnosis.from_json(each) for each in answer["diagnoses"]),
            None if folders is None else {Path(path): shown for path, shown in folders.items()},
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        last = (told.stderr.strip() or told.stdout.strip() or "nothing").splitlines()[-1]
        message = f"the Airflow side ended with status {told.returncode}: {last}"
        return AirflowSide((wrong(CHECK, command[0], message, again),))


def tell_not_started(check: str, where: str) -> Diagnosis:
    """Of a server that the embedded runtime brings, and that does not run now."""
    return unchecked(check, where, "`airloom up` starts it, and has not yet", "Run `airloom up`, then this again.")
