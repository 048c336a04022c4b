"""What a person who follows docs/install-with-compose.md has: a folder, its `.env`, and `docker compose`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.compose.engine import Engine

from airloom.embedded.airflow_api import AirflowApi

ROOT = Path(__file__).parents[2]
SECRETS = "sh docker/compose/secrets.sh"
_PORTS = ("AIRFLOW", "MLFLOW", "GATEWAY", "S3", "S3_CONSOLE", "PROMETHEUS", "ALERTMANAGER")


@dataclass(frozen=True)
class Project:
    """One.

    Args:
        folder: `copy_files` filled it.
        environ: `docker`'s, beside this process's own.
    """

    folder: Path
    environ: Mapping[str, str]

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as it stands in the page, in the project's folder."""
        given = {name: value for name, value in os.environ.items() if not name.startswith(("AIRLOOM_", "OPENLINEAGE"))}
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env={**given, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"`{command}`: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def settings(self) -> dict[str, str]:
        """What `.env` says."""
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def set(self, **values: str) -> None:
        """Write to the end of `.env`."""
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())

    def address(self, service: str, port: int) -> str:
        """Where this machine reaches a service."""
        return "http://" + self.run(f"docker compose port {service} {port}").stdout.strip()

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.address("api-server", 8080), "admin", self.settings()["AIRLOOM_ADMIN_PASSWORD"])


def copy_files(folder: Path) -> None:
    """What the page asks for, and no more."""
    shutil.copy(ROOT / "docker-compose.yaml", folder)
    shutil.copytree(ROOT / "docker" / "compose", folder / "docker" / "compose")
    shutil.copytree(ROOT / "dags", folder / "dags")


def name_images(project: Project, images: Mapping[str, str]) -> None:
    """Have the project take these images, and free ports."""
    project.set(**{f"AIRLOOM_{name.upper()}_IMAGE": reference for name, reference in images.items()})
    project.set(**{f"AIRLOOM_{name}_PORT": "0" for name in _PORTS})


def inspect(engine: Engine, kind: str = "container") -> list[str]:
    """Names of all containers, volumes or networks that the engine has."""
    listing = {"container": ("ps", "--all", "--format", "{{.Names}}")}.get(kind, (kind, "ls", "--format", "{{.Name}}"))
    return engine.docker(*listing).split()
