"""The warm stage host: what it does for a stage, and that no stage outlives whoever asked for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.waiting import wait_until

from airloom.embedded import processes
from airloom.errors import AirloomError, PermanentError, TransientError
from airloom.protocol import StageContext
from airloom.protocol.launch import launch_stage

HOST = """
import os, sys, time
from pathlib import Path
from airloom.stages import host

def run(argv):  # stands for runner.main
    print("in", os.getcwd(), "with", os.environ.get("GIVEN"), "leads", os.getsid(0) == os.getpid(), flush=True)
    match argv[0]:
        case "refuses": return 65
        case "dies": os.kill(os.getpid(), 9)
        case "exits": sys.exit(75)
        case "raises": raise ValueError("a fault of its own")
        case "lasts":
            child = os.fork() or time.sleep(600)
            Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child}")
            print("lasting", flush=True)
            time.sleep(600)

host.run_stage = run
serving = host.StageHost(Path(sys.argv[1]))
print("serving", flush=True)
try:
    serving.serve()
finally:
    serving.close()
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOST, str(tmp_path / "run" / "host.sock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving\n"
        yield process
        process.terminate()


@pytest.fixture
def launch(host: subprocess.Popen[str], tmp_path: Path) -> Callable[..., None]:
    def launch(stage: str, log: Callable[[str], None] = lambda line: None) -> None:
        context = StageContext(
            team="t", pipeline="p", stage=stage, run_id="r", attempt=1, spec={}, pipeline_uri="file:///a"
        )
        environ = {"GIVEN": "this", "PIDS": str(tmp_path / "pids")}
        socket = tmp_path / "run" / "host.sock"
        launch_stage(context, python="/nowhere", host=socket, environ=environ, log=log, cpu_threads=1)

    return launch


@pytest.mark.parametrize(
    ("stage", "family", "told"),
    [
        ("refuses", PermanentError, "exit status 65"),
        ("exits", TransientError, "exit status 75"),
        ("dies", TransientError, "killed by SIGKILL"),
        ("raises", TransientError, "a fault of its own"),
    ],
)
def test_a_stage_has_its_callers_surroundings_and_its_end_is_told(
    launch: Callable[..., None], stage: str, family: type[AirloomError], told: str
) -> None:
    lines: list[str] = []
    with pytest.raises(family, match=told):
        launch(stage, lines.append)
    assert lines[0] == f"in {Path.cwd()} with this leads True"


def test_an_ended_stage_leaves_the_host_to_the_next(launch: Callable[..., None]) -> None:
    for stage in ("dies", "raises", "refuses"):
        with pytest.raises(AirloomError):
            launch(stage)
    with pytest.raises(PermanentError, match="exit status 65"):
        launch("refuses")


def test_a_stage_and_its_children_end_when_nobody_waits_for_them(launch: Callable[..., None], tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if line == "lasting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch("lasts", interrupt)
    wait_until_gone(*read_pids(tmp_path / "pids"))


def test_a_host_that_is_stopped_takes_its_stages_along(
    host: subprocess.Popen[str], launch: Callable[..., None], tmp_path: Path
) -> None:
    def stop(line: str) -> None:
        if line == "lasting":
            threading.Thread(target=host.terminate).start()

    with pytest.raises(TransientError, match="killed by SIGTERM"):
        launch("lasts", stop)
    wait_until_gone(*read_pids(tmp_path / "pids"))
    assert host.wait(10) == 0
    assert not (tmp_path / "run" / "host.sock").exists()


def test_a_host_that_is_killed_takes_its_stages_along(
    host: subprocess.Popen[str], launch: Callable[..., None], tmp_path: Path
) -> None:
    def kill(line: str) -> None:
        if line == "lasting":
            host.send_signal(signal.SIGKILL)

    with pytest.raises(TransientError, match="went away"):
        launch("lasts", kill)
    wait_until_gone(read_pids(tmp_path / "pids")[0])


def test_nobody_else_may_ask(host: subprocess.Popen[str], tmp_path: Path) -> None:
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "run" / "host.sock").stat().st_mode & 0o777 == 0o600


def wait_until_gone(*pids: int) -> None:
    wait_until(lambda: not any(map(processes.started_at, pids)), "the processes are gone", 10)


def read_pids(file: Path) -> list[int]:
    """The stage's process and its child's."""
    return [int(pid) for pid in file.read_text().split()]
