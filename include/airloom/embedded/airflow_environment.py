"""Airflow's settings in the embedded runtime: SQLite, LocalExecutor, tuned for short tasks on one machine.

What each tuning buys was measured: a heartbeat of one second and a scheduler that idles for a tenth of one take a
trivial task from 1.0 s to 0.17 s; one DAG file a pipeline keeps a task's own parse short.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from airloom import __version__
from airloom.errors import ConfigError

USER = "admin"
_SECRETS = ("fernet", "api", "jwt", "password")


def find_airflow(environ: Mapping[str, str]) -> Path:
    """Airflow's program.

    Errors:
        ConfigError: it is not where it is looked for.
    """
    given = environ.get("AIRLOOM_AIRFLOW_BIN")
    found = Path(given) if given else _find_environment() / "bin" / "airflow"
    if not found.is_file():
        raise ConfigError(f"Airflow's program {found} is not there. {describe_remedy(environ)}")
    return found


def describe_remedy(environ: Mapping[str, str]) -> str:
    """What to do where Airflow's program is not there: the commands that bring it to where it is looked for."""
    if "AIRLOOM_AIRFLOW_BIN" in environ:
        return "Set AIRLOOM_AIRFLOW_BIN to the `airflow` of an environment that has airloom-airflow."
    python, place = shlex.quote(sys.executable), shlex.quote(str(_find_environment()))
    return (
        "It wants an environment of its own, as its libraries conflict with those of stages. Make it: "
        f"{python} -m venv {place} && {place}/bin/pip install 'airloom-airflow=={__version__}' (in a checkout: "
        "make setup), or set AIRLOOM_AIRFLOW_BIN to the `airflow` of an environment that has airloom-airflow."
    )


def _find_environment() -> Path:
    """Airflow's environment, beside this one, unless AIRLOOM_AIRFLOW_BIN says otherwise."""
    return Path(sys.prefix).parent / "airflow"


def load_secrets(home: Path) -> dict[str, str]:
    """The runtime's own secrets, made once; only their owner can read them."""
    import base64

    path = home / "secrets.json"
    if not path.is_file():
        made = {name: secrets.token_urlsafe(32) for name in _SECRETS}
        made["fernet"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        _write_private(path, json.dumps(made))
    known = json.loads(path.read_text())
    assert isinstance(known, dict)
    return known


def build_airflow_environ(
    home: Path,
    port: int,
    lineage_path: Path | None,
    dag_files: Path | None = None,
    *,
    lineage_receiver: bool = False,
) -> dict[str, str]:
    """`AIRFLOW_…` variables; the same for all of Airflow's processes.

    Args:
        home: AIRFLOW_HOME, made by `prepare_airflow`.
        port: of the API server and web UI.
        lineage_path: file that OpenLineage events are appended to; None switches them off.
        dag_files: folder of hand-written DAG files.
        lineage_receiver: events go where OpenLineage's own variables say, not to the file.
    """
    known = load_secrets(home)
    address = f"http://127.0.0.1:{port}"
    lineage_file = {"type": "file", "log_file_path": str(lineage_path), "append": True}
    sections: Mapping[str, Mapping[str, object]] = {
        "DATABASE": {"SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}"},
        "CORE": {
            "EXECUTOR": "airloom_airflow.speedups.executor.LocalExecutor",
            "PARALLELISM": 4,
            "LOAD_EXAMPLES": False,
            "DAGS_ARE_PAUSED_AT_CREATION": False,
            "DAGBAG_IMPORT_ERROR_TRACEBACKS": False,
            "LAZY_LOAD_PLUGINS": False,
            "PLUGINS_FOLDER": home / "plugins",
            "DAGS_FOLDER": home / "dags",
            "EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
            "SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
            "FERNET_KEY": known["fernet"],
            "MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 0,
        },
        "API": {
            "HOST": "127.0.0.1",
            "PORT": port,
            "BASE_URL": address,
            "WORKERS": 1,
            "SECRET_KEY": known["api"],
        },
        "API_AUTH": {"JWT_SECRET": known["jwt"]},
        "DAG_PROCESSOR": {
            "DAG_BUNDLE_CONFIG_LIST": json.dumps(_build_bundles(dag_files)),
            "DAG_BUNDLE_STORAGE_PATH": home / "bundles",
            "BUNDLE_REFRESH_CHECK_INTERVAL": 2,
            "MIN_FILE_PROCESS_INTERVAL": 86400,
            "FILE_PARSING_SORT_MODE": "modified_time",
            "PARSING_PROCESSES": 2,
            "STALE_DAG_THRESHOLD": 5,
            "DAG_VERSION_INFLATION_CHECK_LEVEL": "off",
            "PRINT_STATS_INTERVAL": 0,
        },
        "SCHEDULER": {
            "PARSING_CLEANUP_INTERVAL": 5,
            "SCHEDULER_IDLE_SLEEP_TIME": 0.1,
            "ENABLE_HEALTH_CHECK": False,
        },
        "WORKERS": {
            "MIN_HEARTBEAT_INTERVAL": 1,
            "MISSING_DAG_RETRY_DELAY": 2,
            "EXECUTION_API_RETRY_WAIT_MIN": 0.2,
        },
        "OPENLINEAGE": {
            "DISABLED": lineage_path is None and not lineage_receiver,
            "TRANSPORT": json.dumps({} if lineage_receiver else lineage_file),
            "NAMESPACE": "airloom",
            "EXECUTE_IN_THREAD": True,
        },
        "LOGGING": {
            "BASE_LOG_FOLDER": home / "logs",
            "DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": home / "logs" / "dag_processor",
        },
    }
    environ = {
        f"AIRFLOW__{section}__{name}": str(value)
        for section, settings in sections.items()
        for name, value in settings.items()
    }
    return {**environ, "AIRFLOW_HOME": str(home)}


def _build_bundles(dag_files: Path | None) -> list[dict[str, object]]:
    pipelines = {"name": "airloom", "classpath": "airloom_airflow.bundles.PipelineDagBundle"}
    bundles: list[dict[str, object]] = [{**pipelines, "kwargs": {"refresh_interval": 5}}]
    if dag_files is not None:
        by_hand = {"name": "dag-files", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
        bundles.append({**by_hand, "kwargs": {"path": str(dag_files), "refresh_interval": 5}})
    return bundles


def prepare_airflow(home: Path) -> None:
    """Make Airflow's folders, secrets and its one user's password file."""
    for folder in ("plugins", "dags", "logs", "bundles"):
        (home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(home / "passwords.json", json.dumps({USER: load_secrets(home)["password"]}))


def _write_private(path: Path, text: str) -> None:
    import os

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)
