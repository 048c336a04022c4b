"""Postgres and Redis for tests, from Debian: private ones on free loopback ports, each in a folder that goes with it.

`conftest` starts them. They are ended by their process ids; whatever else of their kind runs on the machine is let be.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.cluster.local.programs import ensure_debian, run
from tests.waiting import wait_until

from airloom.stages.lifeline import die_with

_POSTGRES = Path("/usr/lib/postgresql/15/bin")
_USER = "airflow"


class Server:
    """One server: a `with` block starts it and ends it, and takes its folder away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self.folder = Path(tempfile.mkdtemp(prefix=f"airloom-{type(self).__name__.lower()}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def prepare(self) -> None:
        """Make what it finds when it first starts."""

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        raise NotImplementedError

    def stop(self, number: int) -> None:
        """End it by a signal; returns when it has ended."""
        assert self._process
        self._process.send_signal(number)
        self._process.wait()
        self._process = None

    @contextmanager
    def away(self, number: int) -> Iterator[None]:
        """Inside the block it is not there, ended by that signal; then it is back, with what it had kept."""
        self.stop(number)
        try:
            yield
        finally:
            self.start()

    def spawn(self, command: Sequence[str | Path], user: str | None = None) -> None:
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=user,
                preexec_fn=functools.partial(die_with, os.getpid()),
            )

    def tell(self) -> str:
        """The end of its log; fails where it has ended."""
        text = (self.folder / "log").read_text(errors="replace")[-2000:]
        assert self._process, text
        assert self._process.poll() is None, text
        return text


class Postgres(Server):
    """A database server with one user and one database, both `airflow`. Its data survive a restart."""

    @property
    def url(self) -> str:
        """As SQLAlchemy takes it."""
        return f"postgresql+psycopg2://{_USER}:{self.password}@127.0.0.1:{self.port}/{_USER}"

    def prepare(self) -> None:
        ensure_debian({str(_POSTGRES / "postgres"): "postgresql-15"}, print)
        words = self.folder / "password"
        words.write_text(self.password)
        if self._owner:
            for path in (self.folder, words):
                shutil.chown(path, self._owner)
        options = ("--auth=scram-sha-256", f"--pwfile={words}", f"--username={_USER}", "--no-sync", "--encoding=UTF8")
        run(_POSTGRES / "initdb", "-D", self.folder / "data", *options, user=self._owner, cwd=self.folder)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 200,
        }
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.spawn([_POSTGRES / "postgres", "-D", self.folder / "data", *given], self._owner)
        wait_until(lambda: self.ask("SELECT 1", "postgres") == "1", "Postgres takes connections")
        if not self.ask(f"SELECT 1 FROM pg_database WHERE datname = '{_USER}'", "postgres"):
            assert self.ask(f"CREATE DATABASE {_USER}", "postgres") is not None

    def ask(self, text: str, database: str = _USER) -> str | None:
        """What a statement gives, as psql writes it without frills; None where it fails."""
        self.tell()
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", _USER, "-d", database)
        done = subprocess.run(
            [str(_POSTGRES / "psql"), *address, "-Atc", text],
            env={**os.environ, "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    @property
    def _owner(self) -> str | None:
        """Postgres refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else None


class Redis(Server):
    """A message broker that keeps what it was given over a restart (append-only file)."""

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        ensure_debian({"redis-server": "redis-server"}, print)

    def start(self) -> None:
        keeping = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        listening = ("--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", self.password)
        self.spawn(["redis-server", *listening, *keeping, "--dir", self.folder])

        def answers() -> bool:
            self.tell()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)):
                    return False
                probe.settimeout(5)
                probe.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                return b"PONG" in b"".join(iter(lambda: probe.recv(64), b""))

        wait_until(answers, "Redis takes connections")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
