"""The `airloom` command. One module a subcommand, each with `run(arguments) -> exit status`, loaded when it is named.

Exit status: 0 done; 1 the answer is no (a file is not valid, a stage failed); 2 the command line is wrong; 3 nothing
runs (`status`); 130 interrupted; 141 whoever read the output has gone (`airloom render … | head`).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from airloom import __version__
from airloom.errors import AirloomError, MissingExtraError

COMMANDS = {
    "init": "write a commented minimal pipeline that runs as it is",
    "validate": "check pipeline files and the cluster file: their form, then the names in them",
    "render": "show the resolved spec, and the DAGs with their tasks",
    "schema": "print the JSON Schema of a pipeline file or a cluster file",
    "run": "run a pipeline's stages in order, without Airflow",
    "serve": "start the inference gateway",
    "lineage": "show which data, code, parameters and run made a model version",
    "up": "start the embedded Airflow, MLflow and gateway",
    "down": "stop them",
    "status": "show what runs, and where",
    "airflow": "run Airflow's own command on the embedded Airflow",
    "doctor": "check all that a pipeline will need before its first run",
    "demo": "live the flight pipeline's life on real data",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: without the program's name; default: the process's own.
    """
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _close_output()
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: airloom COMMAND …\n")
        print("\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items()))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"airloom {__version__}")
        return 0
    name = arguments.pop(0)
    if name not in COMMANDS:
        print(f"airloom: there is no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        status = importlib.import_module(f"airloom.cli.{name}").run(arguments)
    except AirloomError as error:
        print(f"airloom {name}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "airloom"):
            raise
        print(f"airloom {name}: {MissingExtraError(library, 'embedded')}", file=sys.stderr)
        return 1
    assert isinstance(status, int)
    return status


def _close_output() -> int:
    """Let nothing more be written, or Python itself would complain at its end; the status that SIGPIPE gives others."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 128 + signal.SIGPIPE
