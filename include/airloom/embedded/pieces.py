"""What the embedded runtime consists of: each piece's command, environment and how it is known to be ready.

The supervisor starts them. All share one environment, so that Airflow's tasks, their stages, the gateway and a person's
`airloom` see the same installation.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airloom.embedded.addresses import Addresses, host_of, port_of, spell_addresses
from airloom.embedded.airflow_environment import build_airflow_environ, find_airflow, prepare_airflow
from airloom.errors import MissingExtraError
from airloom.settings import Settings
from airloom.telemetry import SWITCHES

if TYPE_CHECKING:
    import httpx

_LIBRARIES = ("httpx", "mlflow", "uvicorn")
"""Of extras, and loaded by the pieces and by what asks them whether they are ready."""

_AIRFLOW_PARTS: Mapping[str, tuple[str, ...]] = {
    "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
    "dag_processor": ("airflow", "dag-processor"),
    "triggerer": ("python", "-m", "airloom_airflow.speedups.triggerer", "--skip-serve-logs"),
}
"""As Airflow's health check names them, and how they are started: a program beside Airflow's, and its arguments. The
log servers of two of them would listen on every address; the API server reads the same folder, and needs none. The
scheduler starts last: a task that it starts asks the API server at once, and would fail its first try without a log."""


@dataclass(frozen=True)
class Piece:
    """One process of the runtime.

    Attributes:
        ready: whether it does its work now; asked often, so it must be quick and never raise.
        once: it runs to its end.
        after: the name of another piece that must be ready before this one starts.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    ready: Callable[[], bool]
    once: bool = False
    after: str = ""


@dataclass(frozen=True)
class Pieces:
    """All of them.

    Attributes:
        migration: makes Airflow's database; runs to its end before `airflow` starts.
        first: need nothing of each other.
        airflow: Airflow's processes.
    """

    migration: Piece
    first: tuple[Piece, ...]
    airflow: tuple[Piece, ...]


def build_pieces(settings: Settings, addresses: Addresses, environ: Mapping[str, str] = os.environ) -> Pieces:
    """The runtime of an installation; makes the folders it needs.

    Errors:
        ConfigError: Airflow's program is not there, or a library of the pieces.
    """
    for library in _LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(library, "embedded")
    airflow = find_airflow(environ)
    home = settings.home
    prepare_airflow(home / "airflow")
    socket_path = _find_socket(settings)
    stages = {**_build_environ(settings, addresses, environ), "OMP_NUM_THREADS": "1"}
    airflows = build_airflow_variables(settings, addresses, environ)
    parts = _AirflowHealth(addresses.airflow)
    host = Piece(
        "stage-host",
        (sys.executable, "-m", "airloom.stages.host", "--socket", str(socket_path)),
        stages,
        lambda: _listens(socket_path),
    )
    hosts = (host,) if settings.runtime == "subprocess" else ()
    return Pieces(
        migration=Piece("airflow-migrate", (str(airflow), "db", "migrate"), airflows, lambda: True, once=True),
        first=(
            Piece(
                "mlflow",
                (sys.executable, "-m", "mlflow", "server", "--host", host_of(addresses.mlflow), "--port",
                 str(port_of(addresses.mlflow)), "--workers", "1", "--backend-store-uri",
                 f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "mlflow-artifacts")),
                {**stages, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_SERVER_X_FRAME_OPTIONS": "NONE"},
                lambda: _answers(f"{addresses.mlflow}/health"),
            ),
            *hosts,
            Piece(
                "gateway",
                (sys.executable, "-m", "airloom", "serve", "--host", host_of(addresses.gateway), "--port",
                 str(port_of(addresses.gateway))),
                stages,
                lambda: _answers(f"{addresses.gateway}/v2/health/live"),
            ),
        ),
        airflow=(
            Piece("airflow-api-server", (str(airflow), "api-server"), airflows, parts.serves),
            *(
                Piece(f"airflow-{part.replace('_', '-')}", (str(airflow.parent / program), *arguments), airflows,
                      lambda part=part: parts.healthy(part),  # type: ignore[misc]
                      after="airflow-api-server" if part == "scheduler" else "")
                for part, (program, *arguments) in _AIRFLOW_PARTS.items()
            ),
        ),
    )  # fmt: skip


def build_airflow_variables(
    settings: Settings, addresses: Addresses, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The whole environment of Airflow's processes, and of its command.

    Errors:
        ConfigError: Airflow's program is not there.
    """
    return {
        **_build_environ(settings, addresses, environ),
        **build_airflow_environ(
            settings.home / "airflow",
            port_of(addresses.airflow),
            settings.lineage_path,
            settings.dag_files,
            lineage_receiver=settings.lineage_receiver,
        ),
        "PATH": f"{find_airflow(environ).parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
    }


def _find_socket(settings: Settings) -> Path:
    """The warm stage host's."""
    return settings.home / "run" / "stages.sock"


class _AirflowHealth:
    """Airflow's own word on its parts; one request answers for all."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._warm = False

    def serves(self) -> bool:
        """Whether the API answers. The part of it that tasks use is built on its first request: that is made here, or
        the first task would wait for it (6 s)."""
        if not self._warm:
            self._warm = _answers(f"{self._address}/execution/health", seconds=30)
        return self._warm and _answers(f"{self._address}/api/v2/version")

    def healthy(self, part: str) -> bool:
        import httpx

        try:
            told = _client().get(f"{self._address}/api/v2/monitor/health").json()
            return bool(told[part]["status"] == "healthy")
        except (httpx.HTTPError, ValueError, KeyError):
            return False


def _build_environ(settings: Settings, addresses: Addresses, environ: Mapping[str, str]) -> dict[str, str]:
    """What every piece is given: the caller's environment without another Airflow's settings, and the installation."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("AIRFLOW_", "MLFLOW_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **kept,
        **SWITCHES,
        "AIRLOOM_HOME": str(settings.home),
        "AIRLOOM_DATA_ROOT": str(settings.data_root),
        "AIRLOOM_PIPELINES": str(settings.pipelines),
        "AIRLOOM_ARTIFACTS_URI": settings.artifacts_uri,
        "AIRLOOM_LINEAGE_PATH": str(settings.lineage_path or ""),
        "AIRLOOM_STAGE_HOST": str(_find_socket(settings)),
        "AIRLOOM_ENVIRONMENT": settings.environment or "",
        "AIRLOOM_STAGE_PYTHON": sys.executable,
        "AIRLOOM_STAGE_CPU_THREADS": environ.get("AIRLOOM_STAGE_CPU_THREADS", "1"),
        "PYTHONUNBUFFERED": "1",
        **spell_addresses(addresses, environ),
    }


@functools.cache
def _client() -> httpx.Client:
    """One for all questions: a client of its own for each reads the certificates of the world each time (20 ms)."""
    import httpx

    return httpx.Client(timeout=5, trust_env=False)


def _answers(url: str, seconds: float = 5) -> bool:
    import httpx

    try:
        return _client().get(url, timeout=seconds).is_success
    except httpx.HTTPError:
        return False


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
