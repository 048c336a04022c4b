"""docker-compose.yaml as it is written, and the command that makes its secrets; nothing is started."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.local.programs import ensure_debian
from tests.compose.engine import write_configuration
from tests.compose.project import ROOT, SECRETS, Project, copy_files

from airloom.telemetry import SWITCHES

pytestmark = pytest.mark.timeout(600)  # the first builds `docker compose`
WRITTEN = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
PROFILES = sorted({profile for service in WRITTEN["services"].values() for profile in service.get("profiles", ())})
DEFAULT = {
    "folders", "migration", "buckets", "api-server", "scheduler", "dag-processor", "triggerer", "stages", "mlflow",
    "gateway", "postgres", "minio", "prometheus", "alertmanager",
}  # fmt: skip
JOBS = {"folders", "migration", "buckets"}
UNASKED = {"otel-collector"}
"""Its image has no program that could ask for its health."""
SILENT = {
    "grafana": ("GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES",
                "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "GF_NEWS_NEWS_FEED_ENABLED"),
    "minio": ("MINIO_UPDATE", "MINIO_CALLHOME_ENABLE"),
}  # fmt: skip


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    ensure_debian({"docker": "docker.io"}, print)
    return {"DOCKER_CONFIG": str(write_configuration(tmp_path_factory.mktemp("docker")))}


@pytest.fixture
def bare(tmp_path: Path, environ: dict[str, str]) -> Project:
    """A project without secrets."""
    copy_files(tmp_path)
    return Project(tmp_path, environ)


@pytest.fixture
def project(bare: Project) -> Project:
    bare.run(SECRETS)
    return bare


@pytest.fixture
def services(project: Project) -> dict[str, Any]:
    """All services of all profiles, as compose understands them."""
    return read(project, "docker compose --profile '*' config --format json")["services"]


def read(project: Project, command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run(command).stdout)
    return found


@pytest.mark.parametrize("profile", ["", *PROFILES])
def test_it_is_valid_for_each_profile(project: Project, profile: str) -> None:
    found = read(project, f"docker compose --profile '{profile}' config --format json")
    more = {name for name, service in WRITTEN["services"].items() if profile in service.get("profiles", ())}
    assert set(found["services"]) == DEFAULT | more
    assert PROFILES == ["grafana", "marquez", "otel"]


def test_compose_warns_of_nothing(project: Project) -> None:
    assert project.run("docker compose --profile '*' config --quiet").stderr == ""


def test_the_secrets_are_made_once_for_their_owner_alone(bare: Project) -> None:
    told = bare.run(SECRETS)
    file = bare.folder / ".env"
    first = bare.settings()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len({*first.values()}) == len(first) == 10
    assert all(len(value) >= 43 for value in first.values())
    assert not [value for value in first.values() if value in told.stdout + told.stderr]
    file.chmod(0o644)
    bare.run(SECRETS)
    assert (bare.settings(), stat.S_IMODE(file.stat().st_mode)) == (first, 0o600)


def test_settings_that_are_there_already_are_kept(bare: Project) -> None:
    (bare.folder / ".env").write_text("AIRLOOM_ADMIN_PASSWORD=mine\nAIRLOOM_JWT_SECRET=\nAIRLOOM_PARALLELISM=8")
    bare.run(SECRETS)
    found = bare.settings()
    assert (found["AIRLOOM_ADMIN_PASSWORD"], found["AIRLOOM_PARALLELISM"]) == ("mine", "8")
    assert len(found["AIRLOOM_JWT_SECRET"]) == 64


def test_each_missing_secret_is_named_with_the_command_that_makes_it(project: Project) -> None:
    for name, value in project.settings().items():
        (project.folder / ".env").write_text(
            "".join(f"{other}={kept}\n" for other, kept in project.settings().items() if other != name)
        )
        told = project.run("docker compose --profile '*' config --quiet", check=False)
        assert told.returncode != 0, name
        assert name in told.stderr
        assert SECRETS in told.stderr
        project.set(**{name: value})


def test_no_password_has_a_default() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    for variable, rest in re.findall(r"\$\{(AIRLOOM_\w*(?:PASSWORD|SECRET|SECRET_KEY|FERNET_KEY))\b([^}]*)\}", text):
        assert rest == "" or rest.startswith(":?"), variable


def test_what_is_published_is_on_loopback_unless_said_otherwise(project: Project) -> None:
    for address, given in (("127.0.0.1", {}), ("10.0.0.7", {"AIRLOOM_LISTEN": "10.0.0.7"})):
        project.set(**given)
        found = read(project, "docker compose --profile '*' config --format json")["services"]
        ports = [port for service in found.values() for port in service.get("ports", ())]
        assert len(ports) == 10
        assert {port["host_ip"] for port in ports} == {address}


def test_each_service_has_limits_and_a_policy_and_loses_its_capabilities(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert service["restart"] == ("unless-stopped" if name not in JOBS else service["restart"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        assert ("healthcheck" in service) == (name not in JOBS | UNASKED), name


def test_each_service_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in JOBS else "service_healthy"
            assert wait["condition"] == expected, f"{name} on {other}"
    alone = {name for name, service in services.items() if not service.get("depends_on")}
    assert alone == {"folders", "postgres", "minio", "alertmanager"}


def test_usage_reporting_is_off_everywhere(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if service["image"].startswith("localhost/airloom/") and name != "folders":  # which has no network
            assert SWITCHES.items() <= service["environment"].items(), name
    for name, switches in SILENT.items():
        assert {services[name]["environment"][switch] for switch in switches} <= {"false", "off"}


def test_a_receiver_of_lineage_takes_the_files_place(project: Project) -> None:
    def lineage() -> tuple[str, str | None]:
        found = read(project, "docker compose config --format json")["services"]["scheduler"]["environment"]
        path = Path(found["AIRFLOW__OPENLINEAGE__CONFIG_PATH"])
        assert (ROOT / "docker" / "compose" / path.name).exists()
        return path.name, found.get("OPENLINEAGE_URL")

    assert lineage() == ("lineage.yml", None)
    project.set(OPENLINEAGE_URL="http://marquez:5000")
    assert lineage() == ("lineage-receiver.yml", "http://marquez:5000")
    assert yaml.safe_load((ROOT / "docker/compose/lineage-receiver.yml").read_text()) is None


def test_what_is_mounted_is_there(services: dict[str, Any], project: Project) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    sources = {mount["source"] for mount in mounts if mount["type"] == "bind"}
    lost = {source for source in sources if not Path(source).exists()}
    assert lost == {str(project.folder / "data")}  # the engine makes it
    named = {mount["source"] for mount in mounts if mount["type"] == "volume"}
    assert named == set(WRITTEN["volumes"])
    assert os.access(project.folder / "docker/compose/no-stage-host.sh", os.X_OK)  # a task starts it
