"""docker/compose/run_in_container.py: what it asks the engine for, and what it does where there is none."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from tests.compose.project import ROOT

PROGRAM = ROOT / "docker" / "compose" / "run_in_container.py"
ENVIRON = {
    "AIRLOOM_STAGES_IMAGE": "stage:1",
    "AIRLOOM_STAGES_CPUS": "1.5",
    "AIRLOOM_STAGES_MEMORY": "4g",
    "AIRLOOM_STAGE_LAUNCHER": "7",
    "AIRLOOM_ARTIFACTS_URI": "s3://airloom",
    "PATH": "/bin",
}
OWN: dict[str, Any] = {
    "Id": "abc",
    "Config": {"User": "65532:65532", "WorkingDir": "/tmp"},
    "Mounts": [
        {"Type": "volume", "Name": "airloom_state", "Source": "/var/…", "Destination": "/var/lib/airloom", "RW": True},
        {"Type": "bind", "Source": "/home/me/dags", "Destination": "/srv/airloom/dags", "RW": False},
        {"Type": "bind", "Source": "/run/docker.sock", "Destination": "/var/run/docker.sock", "RW": True},
    ],
    "NetworkSettings": {"Networks": {"airloom_default": {}}},
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, as whoever launches a stage starts it."""
    environ = {"AIRLOOM_STAGE_LAUNCHER": str(os.getpid())}
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_in_container", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 * 2**30), ("1500m", 1500 * 2**20), ("1.5GB", 3 * 2**29), ("64kb", 2**16), ("1000", 1000)],
)
def test_sizes_are_read_as_compose_reads_them(program: ModuleType, text: str, size: int) -> None:
    assert program.in_bytes(text) == size


def test_a_stage_sees_what_the_scheduler_sees_but_for_the_engine(program: ModuleType) -> None:
    asked = program.describe(OWN, ["train", "--pointer", "p"], ENVIRON)
    assert [(mount["Source"], mount["ReadOnly"]) for mount in asked["HostConfig"]["Mounts"]] == [
        ("airloom_state", False),
        ("/home/me/dags", True),
    ]
    assert asked["Env"] == ["AIRLOOM_ARTIFACTS_URI=s3://airloom"]
    assert asked["HostConfig"]["NetworkMode"] == "airloom_default"


def test_a_stage_has_the_limits_that_are_set_and_ends_with_the_scheduler(program: ModuleType) -> None:
    host = program.describe(OWN, ["train"], ENVIRON)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (1_500_000_000, 4 * 2**30)
    assert (host["PidMode"], host["AutoRemove"]) == ("container:abc", True)


def test_both_streams_of_a_stage_are_passed_on(program: ModuleType) -> None:
    output = io.BytesIO()
    program.relay(io.BytesIO(b"\1\0\0\0\0\0\0\4one\n\2\0\0\0\0\0\0\4two\n"), output)
    assert output.getvalue() == b"one\ntwo\n"


def test_where_there_is_no_engine_the_stage_is_to_be_tried_again() -> None:
    if os.path.exists("/var/run/docker.sock"):  # noqa: PTH110
        pytest.skip("this machine has an engine of its own")
    told = run("-m", "airloom.stages", "train")
    assert told.returncode == 75
    assert "the Docker engine does not answer at /var/run/docker.sock" in told.stderr


def test_nothing_but_a_stage_is_run() -> None:
    told = run("-c", "print()")
    assert told.returncode == 2
    assert "and nothing else" in told.stderr
