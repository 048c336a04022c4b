"""docs/install-with-compose.md followed on a Docker engine: brought up, a life lived in it, brought down and up again.

The images are those that `make images` builds, and stand-ins of the same real servers for those that come from a
registry. The tests build on each other, in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.bench.figures import Figure, write_figures
from tests.compose.engine import Engine
from tests.compose.project import ROOT, SECRETS, Project, copy_files, inspect, name_images
from tests.waiting import wait_until

from airloom.demo.life import landing_folder
from airloom.demo.world import World

pytestmark = pytest.mark.timeout(900)
PAGE = ROOT / "docs" / "install-with-compose.md"
COMMANDS = [
    line.strip()
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
UP, DOWN = "docker compose up --detach --wait", "docker compose down"
SECONDS, GIGABYTES = 90.0, 4.0
"""Goals: until all is healthy, and the memory of all of it when nothing is asked of it."""
TRAIN, PROMOTE, MODEL = "ops__flight_delay__train", "ops__flight_delay__promote", "ops.flight_delay"
FLIGHT = {"carrier": "EV", "origin": "EWR", "dest": "ORD", "tailnum": "N10156"}
NUMBERS = {"distance": 719, "departure_hour": 20, "weekday": 4}


@pytest.fixture(scope="module")
def project(engine: Engine, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The installation, brought up as the page says; nothing of it was there before but images."""
    folder = tmp_path_factory.mktemp("server")
    copy_files(folder)
    made = Project(folder, engine.environ)
    land_flights(folder / "data", tmp_path_factory.mktemp("world"))
    made.set(AIRLOOM_DOCKER_SOCKET=engine.environ["DOCKER_HOST"].removeprefix("unix://"))
    made.run(SECRETS)
    name_images(made, {name: engine.load(archive) for name, archive in images.items()})
    try:
        report("docker compose up --wait, from nothing but images", bring_up(made))
        yield made
    finally:
        made.run(f"{DOWN} --volumes")


def land_flights(data: Path, world: Path) -> None:
    """Three months of flights, where the flight pipeline looks; readable for the containers' user."""
    for month in (1, 2, 3):
        World(landing_folder(data), world).land(month)
    for path in (data, *data.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)


def bring_up(project: Project) -> float:
    """Seconds until all is healthy."""
    started = time.monotonic()
    told = project.run(UP, check=False)
    assert told.returncode == 0, told.stderr[-2000:] + project.run("docker compose logs --tail 15").stdout[-12000:]
    return time.monotonic() - started


def report(what: str, value: float, unit: str = "s", goal: float = SECONDS) -> None:
    """Print a figure, and keep it among the bench's."""
    print(f"{what}: {value:.3g} {unit} (goal {goal:g})")
    write_figures(ROOT / "build" / "bench.json", {what: [Figure(what, value, unit, "the limit", goal, 1.0)]})


def ask_gateway(project: Project) -> dict[str, Any]:
    inputs = [
        *({"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in FLIGHT.items()),
        *({"name": name, "shape": [1], "datatype": "INT64", "data": [value]} for name, value in NUMBERS.items()),
    ]
    address = project.address("gateway", 8090)
    answer = httpx.post(f"{address}/v2/models/{MODEL}/infer", json={"inputs": inputs}, timeout=30, trust_env=False)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return {"version": found["model_version"], "outputs": found["outputs"]}


def describe(engine: Engine, service: str) -> dict[str, Any]:
    """A service's container, as the engine tells of it."""
    found: dict[str, Any] = json.loads(engine.docker("inspect", f"airloom-{service}-1"))[0]
    return found


def test_all_of_it_is_healthy(project: Project, engine: Engine) -> None:
    states = json.loads(engine.docker("inspect", *inspect(engine)))
    told = {
        state["Name"]: (state["State"]["Status"], state["State"].get("Health", {}).get("Status")) for state in states
    }
    jobs = {f"/airloom-{job}-1" for job in ("folders", "migration", "buckets")}
    assert {name for name, state in told.items() if state == ("exited", None)} == jobs
    assert {state for name, state in told.items() if name not in jobs} == {("running", "healthy")}
    assert len(told) == 14


def test_it_needs_little_memory_when_idle(project: Project, engine: Engine) -> None:
    lines = engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines()
    used = {line.split()[0]: in_megabytes(line.split()[1]) for line in lines}
    print(
        "\n".join(f"{name:28} {megabytes:6.0f} MB" for name, megabytes in sorted(used.items(), key=lambda one: -one[1]))
    )
    total = sum(used.values()) / 1000
    report("memory of all containers of docker-compose.yaml, idle", total, "GB", GIGABYTES)
    assert total < GIGABYTES


def in_megabytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"KiB": 1.024e-3, "MiB": 1.048576, "GiB": 1073.741824}[unit]


def test_no_container_of_airlooms_is_root_or_can_write_to_its_image(project: Project, engine: Engine) -> None:
    for service in ("api-server", "scheduler", "dag-processor", "triggerer", "stages", "mlflow", "gateway"):
        found = describe(engine, service)
        assert found["HostConfig"]["ReadonlyRootfs"], service
        assert found["Config"]["User"] == "65532:65532", service
        pid = found["State"]["Pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\s+65532\s", status, re.MULTILINE), service
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), service
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), service


def test_the_stages_have_no_secret_of_airflows(project: Project, engine: Engine) -> None:
    secrets = {name: value for name, value in project.settings().items() if len(value) > 40}
    environ = "\n".join(describe(engine, "stages")["Config"]["Env"])
    assert {name for name, value in secrets.items() if value in environ} == {"AIRLOOM_S3_SECRET_KEY"}


def test_the_flight_pipeline_becomes_a_served_champion(project: Project, engine: Engine) -> None:
    api = project.api
    api.wait_for_dag(TRAIN, 120)
    started = time.monotonic()
    run_id = api.trigger(TRAIN, {})
    run = api.wait_for_run(TRAIN, run_id, 400)
    assert run["state"] == "success", tell_failure(project, TRAIN, run_id)
    promotion = api.wait_for_new_run(PROMOTE, set(), 120)["dag_run_id"]
    assert api.wait_for_run(PROMOTE, promotion, 200)["state"] == "success", tell_failure(project, PROMOTE, promotion)
    print(f"flight pipeline to a served champion: {time.monotonic() - started:.0f} s")
    assert ask_gateway(project)["version"] == "1"
    log = project.run("docker compose logs stages").stdout
    for stage in ("ingest", "train", "register", "promote", "deploy"):
        assert f"stage {stage} is process" in log, stage


def tell_failure(project: Project, dag_id: str, run_id: str) -> str:
    tasks = project.api.task_instances(dag_id, run_id)
    failed = [task for task in tasks if task["state"] == "failed"]
    logs = [project.api.task_log(dag_id, run_id, task["task_id"], task["try_number"])[-2500:] for task in failed]
    return f"{ {task['task_id']: task['state'] for task in tasks} }\n" + "\n".join(logs)


def test_a_tasks_log_is_shown_by_the_api_server(project: Project) -> None:
    [run] = project.api.runs(TRAIN)
    assert "train" in project.api.task_log(TRAIN, run["dag_run_id"], "train")


@pytest.mark.parametrize("command", [command for command in dict.fromkeys(COMMANDS) if not command.startswith(DOWN)])
def test_a_command_of_the_page_does_as_it_is_told(project: Project, command: str) -> None:
    told = project.run(command)
    print(told.stdout[-1500:])
    assert told.stdout or told.stderr or "--quiet" in command


def test_prometheus_sees_what_it_watches(project: Project) -> None:
    address = project.address("prometheus", 9090)

    def health() -> dict[str, str]:
        found = httpx.get(f"{address}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    jobs = ("gateway", "minio", "prometheus", "alertmanager")
    wait_until(lambda: health() == dict.fromkeys(jobs, "up"), "all targets are up")
    rules = httpx.get(f"{address}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    assert [rule["health"] for group in rules for rule in group["rules"]] == ["ok"] * 5
    managers = httpx.get(f"{address}/api/v1/alertmanagers", trust_env=False).json()["data"]["activeAlertmanagers"]
    assert [manager["url"] for manager in managers] == ["http://alertmanager:9093/api/v2/alerts"]


@pytest.mark.parametrize("service", ["stages", "gateway", "scheduler", "api-server"])
def test_what_dies_is_started_again(project: Project, engine: Engine, service: str) -> None:
    before = describe(engine, service)["State"]
    os.kill(before["Pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = describe(engine, service)["State"]
        return now["StartedAt"] != before["StartedAt"] and now.get("Health", {}).get("Status") == "healthy"

    wait_until(is_back, f"{service} is healthy again", 180)


def test_with_one_setting_each_stage_has_a_container_of_its_own(project: Project, engine: Engine) -> None:
    project.set(COMPOSE_FILE="docker-compose.yaml:docker/compose/containers.yaml")
    bring_up(project)
    started = time.monotonic()
    run_id = project.api.trigger(TRAIN, {})
    run = project.api.wait_for_run(TRAIN, run_id, 400)
    assert run["state"] == "success", tell_failure(project, TRAIN, run_id)
    print(f"training with stages in containers: {time.monotonic() - started:.0f} s")
    for task_id in (task["task_id"] for task in project.api.task_instances(TRAIN, run_id)):
        assert f"stage {task_id} runs in the container " in project.api.task_log(TRAIN, run_id, task_id)
    left = ("ps", "--all", "--quiet", "--filter", "label=io.airloom.stage")
    wait_until(lambda: not engine.docker(*left), "the promotion's stages too have ended, and no container stays", 120)


def test_down_leaves_only_volumes_and_up_finds_everything_again(project: Project, engine: Engine) -> None:
    api = project.api
    answer, runs = ask_gateway(project), [run["dag_run_id"] for run in api.runs(TRAIN)]
    lineage = project.run("docker compose exec -T stages airloom lineage ops.flight_delay@champion --json").stdout
    volumes = inspect(engine, "volume")
    project.run(DOWN)
    assert inspect(engine) == []
    assert set(inspect(engine, "network")) == {"none", "host"}
    assert set(inspect(engine, "volume")) == set(volumes)
    assert {name for name in volumes if not re.fullmatch("[0-9a-f]{64}", name)} == {
        f"airloom_{name}" for name in ("state", "postgres", "minio", "prometheus", "alertmanager")
    }
    report("docker compose up --wait, with everything kept", bring_up(project))
    assert ask_gateway(project) == answer
    assert [run["dag_run_id"] for run in project.api.runs(TRAIN)] == runs
    again = project.run("docker compose exec -T stages airloom lineage ops.flight_delay@champion --json").stdout
    assert again == lineage


def test_down_with_volumes_leaves_nothing(project: Project, engine: Engine) -> None:
    assert [command for command in COMMANDS if command.startswith(DOWN)] == [DOWN, f"{DOWN} --volumes"]
    project.run(f"{DOWN} --volumes")
    assert (inspect(engine), [name for name in inspect(engine, "volume") if name.startswith("airloom")]) == ([], [])
