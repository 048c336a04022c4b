"""The `airloom` command. One module a subcommand, each with `run(arguments) -> exit status`, loaded when it is named.

Exit status: 0 done; 1 the answer is no (a file is not valid, a stage failed); 2 the command line is wrong.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from airloom import __version__
from airloom.errors import AirloomError

COMMANDS = {
    "init": "write a commented minimal pipeline that runs as it is",
    "validate": "check pipeline files and the cluster file; tells every error at once",
    "render": "show the resolved spec, and the DAGs with their tasks",
    "schema": "print the JSON Schema of a pipeline file or a cluster file",
    "run": "run a pipeline's stages in order, without Airflow",
    "serve": "start the inference gateway",
    "lineage": "tell which data, code, parameters and run made a model version",
    "up": "start the embedded Airflow, MLflow and gateway",
    "down": "stop them",
    "status": "tell what runs, and where",
    "demo": "live the flight pipeline's life on real data",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: without the program's name; default: the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
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
    except KeyboardInterrupt:
        return 130
    assert isinstance(status, int)
    return status
