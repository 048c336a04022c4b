"""docs/install-with-pip.md from its first command to its last, by a person who has a checkout only to make the wheels.

The wheels come from this tree, all else from the package index. One test a section, in the page's order, in one shell.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.dist.page import ROOT, Shell, read_sections
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "install-with-pip.md"
SECTIONS = read_sections(PAGE)
DAG_ID = "example__flowers__train"
pytestmark = pytest.mark.timeout(900)  # two environments of over a hundred packages each come from the index


@dataclass
class Visit:
    """One person's way through the page.

    Attributes:
        ran: sections whose commands were all run.
        seconds: from an empty folder to the first model.
    """

    shell: Shell
    home: Path
    ran: list[str]
    seconds: float = 0.0

    def follow(self, title: str, status: int = 0) -> str:
        """Run a section's commands; each must end well, the last one with a status that may be another."""
        *others, last = SECTIONS[title]
        told = [self.shell.run(command) for command in others]
        self.ran.append(title)
        return "".join([*told, self.shell.run(last, status)])


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    home = tmp_path_factory.mktemp("home")
    ports = {f"AIRLOOM_{piece}_PORT": "0" for piece in ("AIRFLOW", "MLFLOW", "GATEWAY")}  # 8080 may be another's here
    shell = Shell(home, ROOT, ports)
    yield Visit(shell, home, [])
    shell.run(f"cd {home}/airloom && stages/bin/airloom down || true")
    shell.close()
    shutil.rmtree(home, ignore_errors=True)


def test_the_wheels_are_made(visit: Visit) -> None:
    told = visit.follow("The wheels")
    assert len(re.findall(r"dist/airloom\S*\.whl", told)) == 2


def test_pip_install_gives_a_first_model_outside_of_any_checkout(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    visit.follow("Install")
    installed = time.monotonic()
    told = visit.follow("The first model")
    visit.seconds = time.monotonic() - started
    (ROOT / "build" / "pip.json").write_text(json.dumps({"seconds": visit.seconds}))
    with capsys.disabled():
        print(f"\npip install {installed - started:.0f} s, to the first model {visit.seconds:.0f} s")
    assert "model version 1" in told
    assert re.search(r"^model +example\.flowers", told, re.MULTILINE)


def test_the_doctor_says_what_is_there(visit: Visit) -> None:
    told = visit.follow("What is there, and what is missing")
    assert re.search(r"^ok +libraries: airloom\[duckdb\]: duckdb [\d.]+, pandas 2\.", told, re.MULTILINE)
    assert re.search(r"0 wrong, \d+ not checked", told)
    assert "airloom-airflow==" in told, "the command that brings Airflow"


def test_airflow_comes_up_beside_it(visit: Visit) -> None:
    refused = visit.shell.run("airloom up", 1)
    assert "/airloom/airflow/bin/pip install 'airloom-airflow==" in refused
    told = visit.follow("Airflow beside it")
    assert "http://127.0.0.1:" in told


def test_airflow_trains_the_same_file(visit: Visit) -> None:
    runs = f"airloom airflow dags list-runs {DAG_ID} --output json"
    wait_until(lambda: DAG_ID in visit.shell.run("airloom airflow dags list --output json"), DAG_ID, 120)
    visit.follow("Train in Airflow")
    wait_until(lambda: '"state": "success"' in visit.shell.run(runs), f"a run of {DAG_ID} succeeds", 300)
    assert "stopped" in visit.follow("Stop it")
    visit.shell.run("airloom status", 3)


def test_the_bare_command_says_without_a_traceback_what_is_missing(visit: Visit) -> None:
    told = visit.follow("Fewer libraries", 1)
    assert re.search(r"^WRONG libraries: airloom\[duckdb\]: duckdb, pandas, pyarrow not installed", told, re.MULTILINE)
    for command in ("init few/pipelines/team/few.yaml", "validate", "render few/pipelines/team/few.yaml", "schema"):
        visit.shell.run(f"few/bin/airloom {command}")
    for command in ("run", "serve", "demo", "up"):
        said = visit.shell.run(f"AIRLOOM_HOME=$PWD/few/home few/bin/airloom {command}", 1)
        assert re.search(r"is not installed here\. Install it with: \S+/few/bin/python\S* -m pip install 'airloom\[", said)
        assert "Traceback" not in said


def test_the_doctors_own_command_mends_it(visit: Visit) -> None:
    told = " ".join(visit.shell.run("few/bin/airloom doctor", 1).split())
    (command,) = set(re.findall(r"-> (\S+ -m pip install 'airloom\[\S+\]')", told))
    visit.shell.run(command)
    assert " 0 wrong" in visit.shell.run("few/bin/airloom doctor")
    assert "model version" in visit.shell.run("AIRLOOM_HOME=$PWD/few/home few/bin/airloom run")


def test_nothing_of_it_is_left(visit: Visit) -> None:
    visit.follow("Take it away")
    left = {path.name for path in visit.home.iterdir()}
    assert left <= {".cache", ".rustup"}, "pip's own: its cache, and what it asks rustc for its version by"


def test_every_command_of_the_page_was_run(visit: Visit) -> None:
    assert visit.ran == list(SECTIONS)
