"""The images do what a strict cluster asks of them. Built for real: `make test-images` runs these, not `make test`."""

from __future__ import annotations

import filecmp
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.local.programs import run
from tests.images.buildah import Buildah
from tests.images.builder import IMAGES, ROOT, build_archive, build_image, image_cache
from tests.images.container import Container
from tests.unit.airloom_airflow.git_remote import GitRemote

pytestmark = pytest.mark.timeout(1800)

COMMANDS = {
    "airflow": ("airflow", "version"),
    "stage-cpu": ("--help",),
    "stage-gpu": ("--help",),
    "serve": ("--help",),
    "stage-trivial": ("--help",),
}
"""What an image's own command does without a cluster."""
LIMITS = {"serve": 700, "stage-trivial": 200}
"""Megabytes."""
PROGRAMS = {"airflow": ("git", "ssh")}
"""What of an image's programs the others may not have: Airflow's git bundles call them."""
FORBIDDEN = """
for program in cc gcc g++ clang make ld pip pip3 uv curl wget "$@"; do
    command -v $program && exit 1
done
find / -xdev \\( -name .cache -o -name uv_cache.json \\) 2>/dev/null | grep . && exit 2
find /opt/airloom/lib -path '*/tests/*' -name 'test_*.py' | grep . && exit 3
find / -xdev -name '*.pem' -path '/run/*' | grep . && exit 4
find /opt/airloom \\( -writable -o -user 65532 \\) -not -type l | grep . && exit 5
exit 0
"""


@pytest.fixture(scope="module", params=IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def container(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The image, built when it is not, and unpacked."""
    folder = tmp_path_factory.mktemp(name)
    yield Container(build_image(name), folder)
    shutil.rmtree(folder)


def test_it_runs_as_nobody_on_a_read_only_root_without_a_network(container: Container, name: str) -> None:
    told = container.run(*COMMANDS[name], entrypoint=True)
    assert told.returncode == 0, told.stdout
    assert container.run("id", "-u").stdout.strip() == "65532"
    refused = container.run("touch", "/opt/airloom/x", read_only=False)
    assert refused.returncode != 0
    assert "Permission denied" in refused.stdout
    assert "Read-only file system" in container.run("touch", "/x").stdout
    assert container.run("touch", "/tmp/x").returncode == 0


def test_it_holds_no_compiler_no_cache_no_test_and_nothing_of_the_builder(container: Container, name: str) -> None:
    others = {program for owner, programs in PROGRAMS.items() if owner != name for program in programs}
    found = container.run("sh", "-c", FORBIDDEN, "sh", *sorted(others))
    assert found.returncode == 0, found.stdout
    document = str(container.document)
    assert "certificates.pem" not in document
    assert "INDEX" not in document
    assert container.config["Labels"]["org.opencontainers.image.title"] == f"airloom/{name}"


def test_its_bytecode_is_compiled(container: Container) -> None:
    library = container.root / "opt/airloom/lib/python3.11/site-packages"
    sources = sorted(library.glob("airloom/**/*.py"))
    assert sources
    for source in sources:
        assert (source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc").exists(), source


def test_it_is_no_larger_than_it_must(name: str) -> None:
    megabytes = build_image(name).stat().st_size / 1e6
    print(f"{name}: {megabytes:.0f} MB (limit {LIMITS.get(name, '-')})")
    assert megabytes < LIMITS.get(name, 2500)


@pytest.mark.parametrize("name", ["airflow"], indirect=True)
def test_airflows_git_bundle_brings_a_repository(container: Container, tmp_path: Path) -> None:
    """As a worker finds it: nobody's home, a root that is read only, a fresh disk."""
    remote = GitRemote(tmp_path / "remote")
    commit = remote.commit({"ops/small.yaml": "kind: Pipeline"})
    script = (
        "from airflow.providers.git.bundles.git import GitDagBundle\n"
        f"bundle = GitDagBundle(name='git', tracking_ref='main', repo_url='/remote', version='{commit}')\n"
        "bundle.initialize()\n"
        "print((bundle.path / 'pipelines/ops/small.yaml').read_text())\n"
    )
    run("chown", "-R", container.config["User"], remote.folder)  # git trusts no other's repository on its own disk
    told = container.run("python", "-c", script, mounts={"/remote": remote.folder})
    assert told.stdout.splitlines()[-1:] == ["kind: Pipeline"], told.stdout
    assert container.run("ssh", "-V").stdout.startswith("OpenSSH")


@pytest.mark.parametrize("name", ["serve"], indirect=True)
def test_the_gateway_passes_its_health_check(container: Container) -> None:
    check = shlex.join(container.config["Healthcheck"]["Test"][1:])
    own = shlex.join([*container.config["Entrypoint"], *container.config["Cmd"]])
    script = f"{own} & for each in $(seq 60); do sleep 1; {check} && exit 0; done; exit 1"
    told = container.run("sh", "-c", script, environ={"AIRLOOM_TRACKING_URI": "http://127.0.0.1:9"})
    assert told.returncode == 0, told.stdout


def test_the_stage_images_differ_in_their_lock_only() -> None:
    cpu, gpu, trivial = (
        (ROOT / IMAGES[name].dockerfile).read_text().replace(name, "NAME").splitlines()[3:]
        for name in ("stage-cpu", "stage-gpu", "stage-trivial")
    )
    assert cpu == gpu == [line.replace("tests/images/", "docker/") for line in trivial]


def test_the_same_inputs_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    """In a storage of its own, so that no layer is taken from the first build."""
    storage, again = image_cache() / "storage.again", tmp_path / "again.tar"
    try:
        build_archive(name, None, Buildah(storage), again, print)
        assert filecmp.cmp(again, build_image(name), shallow=False)
    finally:
        for folder in (storage, storage.with_name(f"{storage.name}.run")):
            shutil.rmtree(folder, ignore_errors=True)
        again.unlink(missing_ok=True)


def test_a_second_call_takes_what_is_there() -> None:
    assert build_image("stage-trivial") == build_image("stage-trivial", say=pytest.fail)
