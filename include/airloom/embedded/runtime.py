"""The embedded runtime as commands, the demo, the bench and the tests use it: start, stop, find it again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING

from airloom.embedded import processes
from airloom.embedded.addresses import Addresses, choose_addresses, spell_addresses
from airloom.embedded.airflow_environment import USER, load_secrets
from airloom.embedded.state import RuntimeState, log_path, read_state, state_path
from airloom.embedded.supervisor import LET_GO
from airloom.errors import ConfigError, UnavailableError
from airloom.settings import Settings, load_settings

if TYPE_CHECKING:
    from airloom.embedded.airflow_api import AirflowApi

_POLL_SECONDS = 0.1
_STOP_LIMIT_SECONDS = 60


class Runtime:
    """One installation's runtime. As a context manager it is started, and stopped at the end whatever happens.

    Args:
        settings: the installation; its home folder holds everything that the runtime keeps.
        say: told what the runtime waits for while it starts.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self._say = say
        self._lifeline: IO[bytes] | None = None

    def __enter__(self) -> Runtime:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and wait until all of it is ready. It ends with this process, unless `let_go` is called.

        Errors:
            ConfigError: it runs already, or somebody else starts it; or a port is in use, or Airflow is not installed.
                Nothing was started.
            UnavailableError: a piece did not start; says which, with the end of its log. Nothing is left running.
        """
        home = self.settings.home
        if running := self.state:
            raise ConfigError(f"it runs already (process {running.pid}, {running.addresses.airflow}); `airloom down`")
        addresses = choose_addresses()
        log = log_path(home, "supervisor")
        log.parent.mkdir(parents=True, exist_ok=True)
        with (home / "runtime.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(f"somebody else starts or stops what runs in {home}; `airloom status`") from error
            state_path(home).unlink(missing_ok=True)
            with log.open("wb") as output:
                supervisor = subprocess.Popen(
                    [sys.executable, "-m", "airloom.embedded.supervisor", *addresses.to_json().values()],
                    env={**os.environ, **spell(self.settings)},
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),  # the supervisor has the lock until it ends, and what it starts has not
                )
        self._lifeline = supervisor.stdin
        try:
            self._wait_until_ready(supervisor)
        except BaseException:
            self.stop()
            raise

    def let_go(self) -> None:
        """Let it run on when this process ends."""
        if self._lifeline:
            self._lifeline.write(LET_GO)
            self._lifeline.close()
            self._lifeline = None

    def stop(self) -> bool:
        """Stop it, whoever started it, and wait until nothing of it is left. False where it did not run.

        Errors:
            UnavailableError: it does not end.
        """
        state = self.state
        if state is None:
            self._hang_up()
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
        self._hang_up()
        deadline = time.monotonic() + _STOP_LIMIT_SECONDS
        while state.alive:
            if time.monotonic() > deadline:
                raise UnavailableError(f"the supervisor, process {state.pid}, does not end; see its log "
                                       f"{log_path(self.settings.home, 'supervisor')}")  # fmt: skip
            time.sleep(_POLL_SECONDS / 2)
        return True

    @property
    def state(self) -> RuntimeState | None:
        """What runs; None where nothing does.

        Errors:
            ConfigError: what the supervisor says of itself cannot be read.
        """
        state = read_state(self.settings.home)
        return state if state and state.alive else None

    @property
    def addresses(self) -> Addresses:
        """Where its pieces listen.

        Errors:
            ConfigError: it does not run.
        """
        if state := self.state:
            return state.addresses
        raise ConfigError(f"nothing runs in {self.settings.home}; start it with `airloom up`")

    def api(self) -> AirflowApi:
        """Airflow, as its one user."""
        from airloom.embedded.airflow_api import AirflowApi  # an extra has its HTTP client

        return AirflowApi(self.addresses.airflow, USER, load_secrets(self.settings.home / "airflow")["password"])

    def memory_bytes(self) -> int:
        """Memory of the whole runtime now, shared pages counted once; bytes."""
        state = self.state
        return processes.memory_bytes([state.pid, *processes.descendants(state.pid)]) if state else 0

    def _wait_until_ready(self, supervisor: subprocess.Popen[bytes]) -> None:
        told = ""
        while True:
            ended = supervisor.poll() is not None
            state = read_state(self.settings.home)
            if ended:
                reason = state.reason if state else log_path(self.settings.home, "supervisor").read_text()[-2000:]
                raise UnavailableError(f"the runtime did not start: {reason}")
            if state and state.phase == "ready":
                return
            if state and state.phase == "starting" and state.reason != told:
                told = state.reason
                self._say(told)
            time.sleep(_POLL_SECONDS)

    def _hang_up(self) -> None:
        if self._lifeline:
            with contextlib.suppress(OSError):
                self._lifeline.close()
            self._lifeline = None


def join_running(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment with the addresses of the installation's runtime, where it runs; those that it names itself stay.

    Errors:
        ConfigError: its settings are wrong.
    """
    state = Runtime(load_settings(environ)).state
    if state is None:
        return dict(environ)
    given = {name: value for name, value in environ.items() if name.upper() != "NO_PROXY"}
    return {**spell_addresses(state.addresses, environ), **given}


def spell(settings: Settings) -> dict[str, str]:
    """The installation as the variables that `load_settings` reads; what the runtime itself chooses is left out."""
    return {
        "AIRLOOM_HOME": str(settings.home),
        "AIRLOOM_DATA_ROOT": str(settings.data_root),
        "AIRLOOM_PIPELINES": str(settings.pipelines),
        "AIRLOOM_DAG_FILES": str(settings.dag_files or ""),
        "AIRLOOM_ARTIFACTS_URI": settings.artifacts_uri,
        "AIRLOOM_RUNTIME": settings.runtime,
        "AIRLOOM_CLUSTER_FILE": str(settings.cluster_file or ""),
        "AIRLOOM_LINEAGE_PATH": str(settings.lineage_path or ""),
        "AIRLOOM_ENVIRONMENT": settings.environment or "",
    }
