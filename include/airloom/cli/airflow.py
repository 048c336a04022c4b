"""`airloom airflow …`: Airflow's own command, on the embedded Airflow that runs. All of its arguments are Airflow's.

`AIRFLOW_HOME` alone would not do: the embedded Airflow is set up by variables, its key for connections among them.
"""

from __future__ import annotations

import os

from airloom.embedded.airflow_environment import find_airflow
from airloom.embedded.pieces import build_airflow_variables
from airloom.embedded.runtime import Runtime
from airloom.settings import load_settings


def run(arguments: list[str]) -> int:
    """Become that command.

    Errors:
        ConfigError: the embedded Airflow does not run, or is not installed.
    """
    settings = load_settings()
    environ = build_airflow_variables(settings, Runtime(settings).addresses)
    airflow = str(find_airflow(os.environ))
    os.execve(airflow, [airflow, *arguments], environ)
