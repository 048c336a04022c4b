"""A Docker engine for tests: Debian's, started for them alone, and `docker compose`, built from its Go module.

It listens at a socket of its own, and leaves the machine's firewall and forwarding as they are: so containers reach
each other, this machine reaches what they publish, and nothing in them reaches the world. What it has loaded it keeps
below the user's cache, for the next time. It wants root.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.local.programs import build_into, digest_of, ensure_debian, user_cache
from tests.waiting import wait_until

from airloom.embedded import processes

_MODULE = Path(__file__).parent / "docker_compose"
_VERSION = "v2.40.3"
_LINKER = f"-s -w -X github.com/docker/compose/v2/internal.Version={_VERSION}"
_DEBIAN = {"dockerd": "docker.io", "docker": "docker.io", "docker-init": "tini"}


@dataclass(frozen=True)
class Engine:
    """A running one.

    Attributes:
        environ: what `docker` must be told to find it, and its `compose`.
    """

    environ: Mapping[str, str]

    def docker(self, *arguments: str | Path, check: bool = True) -> str:
        """What `docker` prints."""
        done = subprocess.run(
            ["docker", *map(str, arguments)],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"docker {arguments}: {done.stderr[-3000:]}"
        return done.stdout.strip()

    def load(self, archive: Path) -> str:
        """Have the image of an archive; gives its name."""
        with tarfile.open(archive) as content:
            file = content.extractfile("manifest.json")
            assert file
            manifest = json.load(file)[0]
        [reference] = manifest["RepoTags"]
        identity = f"sha256:{manifest['Config'].removesuffix('.json')}"
        if self.docker("image", "inspect", "--format", "{{.Id}}", reference, check=False) != identity:
            self.docker("load", "--quiet", "--input", archive)
            self.docker("image", "prune", "--force")
        return str(reference)

    def clear(self) -> None:
        """Take all containers, networks and volumes away; images stay."""
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", *containers)
        self.docker("network", "prune", "--force")
        if volumes := self.docker("volume", "ls", "--quiet").split():
            self.docker("volume", "rm", *volumes)


@contextmanager
def run_engine(folder: Path) -> Iterator[Engine]:
    """Start an engine; at the end it is ended, with all that it ran.

    Args:
        folder: its socket and its log lie there; short, for a socket's path may not be long.
    """
    ensure_debian(_DEBIAN, print)
    kept = user_cache() / "docker"
    kept.mkdir(parents=True, exist_ok=True)
    environ = {"DOCKER_HOST": f"unix://{folder / 'socket'}", "DOCKER_CONFIG": str(write_configuration(folder))}
    command = [
        "dockerd", "--data-root", kept / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid",
        "--host", environ["DOCKER_HOST"], "--bridge=none", "--default-address-pool", "base=10.213.0.0/16,size=24",
        "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
    ]  # fmt: skip
    with (kept / "lock").open("w") as lock, (folder / "log").open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=processes.end_with_parent,
        )
        engine = Engine(environ)
        try:
            wait_until(lambda: _answers(engine, process, folder), "the Docker engine answers", 60)
            engine.clear()
            yield engine
            engine.clear()
        finally:
            process.terminate()
            process.wait(60)


def write_configuration(folder: Path) -> Path:
    """`docker`'s configuration, with `compose` in it and no one's credentials; gives its folder."""
    plugins = folder / "docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(built_compose())
    return plugins.parent


def built_compose() -> Path:
    """The program of `docker compose`.

    Errors:
        ClusterError: Go is not there, or fails.
    """
    digest = digest_of(_LINKER, _MODULE / "go.mod", _MODULE / "go.sum")
    target = user_cache() / f"docker-compose-{digest}"
    if not target.is_dir():
        print("building docker compose from its Go module, once (about 3 minutes on two cores)")
        build_into(target, (_MODULE, "tool", _LINKER))
    return target / "cmd"


def _answers(engine: Engine, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "log").read_text(errors="replace")[-3000:]
    return bool(engine.docker("version", "--format", "{{.Server.Version}}", check=False))
