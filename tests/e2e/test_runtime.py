"""The embedded runtime starts nothing that it cannot finish, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.e2e.conftest import Installation
from tests.waiting import wait_until

from airloom.embedded import processes
from airloom.embedded.runtime import Runtime
from airloom.embedded.state import read_state
from airloom.errors import ConfigError
from airloom.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own."""
    (tmp_path / "pipelines").mkdir()
    monkeypatch.setenv("AIRLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRLOOM_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("AIRLOOM_PIPELINES", str(tmp_path / "pipelines"))
    for piece in ("AIRFLOW", "MLFLOW", "GATEWAY"):
        monkeypatch.setenv(f"AIRLOOM_{piece}_PORT", "0")
    return load_settings(dict(os.environ))


def test_a_port_in_use_is_told_with_its_holder_and_nothing_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("AIRLOOM_MLFLOW_PORT", str(port))
        with pytest.raises(ConfigError, match=f"port {port}, for mlflow, .*pid {os.getpid()}.*AIRLOOM_MLFLOW_PORT"):
            Runtime(settings).start()
    assert not settings.home.exists()


def test_a_second_runtime_in_the_same_home_is_refused(installation: Installation) -> None:
    with pytest.raises(ConfigError, match="runs already"):
        Runtime(installation.settings).start()
    assert installation.runtime.state


def test_nothing_listens_beyond_loopback(installation: Installation) -> None:
    state = installation.runtime.state
    assert state
    listening = [
        connection.laddr
        for pid in processes.descendants(state.pid)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_what_is_not_installed_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOOM_AIRFLOW_BIN", "/nowhere/airflow")
    with pytest.raises(Exception, match=r"/nowhere/airflow is not there.*AIRLOOM_AIRFLOW_BIN"):
        Runtime(settings).start()
    assert Runtime(settings).state is None


def test_a_runtime_whose_starter_is_killed_leaves_nothing_behind(settings: Settings) -> None:
    program = (
        "import sys\n"
        "from airloom.embedded.runtime import Runtime\n"
        "from airloom.settings import load_settings\n"
        "Runtime(load_settings(), say=lambda text: print(text, flush=True)).start()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        for line in starter.stdout:
            if "airflow-scheduler" in line:
                break
        state = read_state(settings.home)
        assert state
        below = [state.pid, *processes.descendants(state.pid)]
        assert len(below) >= 8
        starter.send_signal(signal.SIGKILL)
    born = dataclasses.asdict(state)["started"]
    wait_until(lambda: not any(processes.started_at(pid) for pid in below), "no process is left")
    assert processes.started_at(state.pid) != born
