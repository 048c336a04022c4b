"""The addresses of the embedded runtime: chosen once, before anything starts; a port in use is told, not fought over.

All is on loopback. Where stages are pods, MLflow and the gateway listen at `AIRLOOM_LISTEN`, which pods must reach.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from airloom.embedded import processes
from airloom.errors import ConfigError

_PORTS = {
    "airflow": ("AIRLOOM_AIRFLOW_PORT", 8080),
    "mlflow": ("AIRLOOM_MLFLOW_PORT", 5000),
    "gateway": ("AIRLOOM_GATEWAY_PORT", 8090),
}
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Addresses:
    """Where each piece listens, as `http://127.0.0.1:PORT`; MLflow and the gateway maybe elsewhere."""

    airflow: str
    mlflow: str
    gateway: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def choose_addresses(environ: Mapping[str, str] = os.environ) -> Addresses:
    """Ports from `AIRLOOM_AIRFLOW_PORT`, `AIRLOOM_MLFLOW_PORT` and `AIRLOOM_GATEWAY_PORT`; 0 takes any free one.

    Errors:
        ConfigError: one is no port, or in use; names each with its holder and its variable.
    """
    listen = environ.get("AIRLOOM_LISTEN") or _LOOPBACK
    complaints = []
    chosen = {}
    with contextlib.ExitStack() as held:
        for piece, (variable, default) in _PORTS.items():
            given = environ.get(variable, str(default))
            if not given.isdigit() or int(given) > 65535:
                complaints.append(f"{variable} is {given!r}; give a port from 1 to 65535, or 0 for any that is free")
                continue
            try:
                host = _LOOPBACK if piece == "airflow" else listen
                chosen[piece] = f"http://{host}:{_hold(host, int(given), held)}"
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    complaints.append(f"AIRLOOM_LISTEN is {listen!r}; give an address of this machine")
                    break
                by = processes.holder(int(given)) or "another process"
                complaints.append(f"port {given}, for {piece}, is in use by {by}; end that, or set {variable}")
    if complaints:
        raise ConfigError("nothing was started: " + "; ".join(complaints))
    return Addresses(**chosen)


def spell_addresses(addresses: Addresses, environ: Mapping[str, str]) -> dict[str, str]:
    """The addresses as the variables that `load_settings` reads; no proxy of `environ` stands before them."""
    given = filter(None, environ.get("NO_PROXY", environ.get("no_proxy", "")).split(","))
    unproxied = ",".join(dict.fromkeys((*given, _LOOPBACK, "localhost", host_of(addresses.mlflow))))
    return {
        "AIRLOOM_TRACKING_URI": addresses.mlflow,
        "AIRLOOM_GATEWAY_URL": addresses.gateway,
        "NO_PROXY": unproxied,
        "no_proxy": unproxied,
    }


def port_of(address: str) -> int:
    """The port of one address."""
    return int(address.rpartition(":")[2])


def host_of(address: str) -> str:
    """The host of one address."""
    return address.removeprefix("http://").rpartition(":")[0]


def _hold(host: str, port: int, held: contextlib.ExitStack) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    bound: int = listener.getsockname()[1]
    return bound
