"""What the parts of one Airflow share: database, broker, MLflow, gateway, object store, bucket of logs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tests.executors.servers import Postgres, Redis
from tests.s3_server import S3Server
from tests.waiting import wait_until

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses, choose_addresses, port_of
from airloom.embedded.pieces import Piece, build_pieces
from airloom.settings import load_settings

ROOT = Path(__file__).parents[2]
AIRFLOW = ROOT / ".venv" / "executors" / "bin" / "airflow"


@dataclass(frozen=True)
class Shared:
    """All of it, running.

    Attributes:
        redis: the broker; None where the executor needs none.
        s3: holds the bucket of logs, and the object store where that is a bucket.
        artifacts_uri: the object store.
        addresses: of the API server, MLflow and the gateway.
        ledger: where tasks and triggers write things down for the test, and wait for it.
    """

    postgres: Postgres
    redis: Redis | None
    s3: S3Server
    artifacts_uri: str
    addresses: Addresses
    ledger: Path


@contextmanager
def run_shared(
    folder: Path, s3: S3Server, store: Literal["bucket", "folder"], *, broker: bool, listen: str = "127.0.0.1"
) -> Iterator[Shared]:
    """Start the servers; end them at the end.

    Args:
        folder: their own.
        store: what the object store is.
        broker: whether there is a Redis.
        listen: the address of this machine at which tasks reach the API server, MLflow and the gateway.
    """
    ledger = folder / "ledger"
    ledger.mkdir()
    if store == "bucket":
        s3.client.create_bucket(Bucket=folder.name)
    artifacts_uri = f"s3://{folder.name}/artifacts" if store == "bucket" else (folder / "artifacts").as_uri()
    ports = {f"AIRLOOM_{piece}_PORT": "0" for piece in ("AIRFLOW", "MLFLOW", "GATEWAY")}
    addresses = choose_addresses({**ports, "AIRLOOM_LISTEN": listen})
    addresses = replace(addresses, airflow=f"http://{listen}:{port_of(addresses.airflow)}")
    environ = {
        **os.environ,
        **s3.environ(),
        "AIRLOOM_HOME": str(folder / "services"),
        "AIRLOOM_DATA_ROOT": str(folder),
        "AIRLOOM_PIPELINES": str(folder),
        "AIRLOOM_ARTIFACTS_URI": artifacts_uri,
        "AIRLOOM_AIRFLOW_BIN": str(AIRFLOW),
    }
    pieces = build_pieces(load_settings(environ), addresses, environ)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis()) if broker else None
        services = [piece for piece in pieces.first if piece.name in ("mlflow", "gateway")]
        for piece in services:
            stack.enter_context(_run(piece, folder))
        wait_until(lambda: all(piece.ready() for piece in services), "MLflow and the gateway answer", 90)
        yield Shared(postgres, redis, s3, artifacts_uri, addresses, ledger)


@contextmanager
def _run(piece: Piece, folder: Path) -> Iterator[None]:
    with (folder / f"{piece.name}.log").open("wb") as output:
        process = subprocess.Popen(
            piece.command,
            env=dict(piece.environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=processes.end_with_parent,
        )
    try:
        yield
    finally:
        below = processes.descendants(process.pid)
        process.terminate()
        process.wait()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
