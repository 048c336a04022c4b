"""Programs that stand beside a cluster, each built from its Go module into a cache of its own, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cluster.local.programs import build_into, digest_of, user_cache

_FOLDER = Path(__file__).parents[1]
_PLAIN = "-s -w"
_MINIO = " ".join(
    f"-X github.com/minio/minio/cmd.{name}={value}"
    for name, value in (("Version", "2026-02-12T20:18:48Z"), ("ReleaseTag", "RELEASE.2026-02-12T20-18-48Z"))
)
"""Its version, which it is otherwise told by its own build script."""

_HELM = " ".join(
    f"-X helm.sh/helm/v3/{name}={value}"
    for name, value in (
        ("internal/version.version", "v3.22.0"),
        *(
            (f"pkg/{package}.k8sVersion{part}", number)
            for package in ("chartutil", "lint/rules")
            for part, number in (("Major", "1"), ("Minor", "35"))
        ),
    )
)
"""Its version, and that of the Kubernetes which it renders for where it is not told of one."""


def built_minio(say: Callable[[str], object] = print) -> Path:
    """The program of MinIO, an S3 server: `minio server FOLDER --address :9000 --console-address :9001`.

    Errors:
        ClusterError: Go is not there, or fails.
    """
    return _built("minio", f"{_PLAIN} {_MINIO}", "about 5 minutes on two cores", say)


def built_kwok(say: Callable[[str], object] = print) -> Path:
    """The program of kwok, which plays nodes and their pods to a cluster: `kwok --kubeconfig FILE …`.

    Errors:
        ClusterError: Go is not there, or fails.
    """
    return _built("kwok", _PLAIN, "about 2 minutes on two cores", say)


def built_helm(say: Callable[[str], object] = print) -> Path:
    """The program of Helm, which installs charts.

    Errors:
        ClusterError: Go is not there, or fails.
    """
    return _built("helm", f"{_PLAIN} {_HELM}", "about 2 minutes on two cores", say)


def _built(name: str, linker: str, time: str, say: Callable[[str], object]) -> Path:
    module = _FOLDER / name
    target = user_cache() / f"{name}-{digest_of(linker, module / 'go.mod', module / 'go.sum')}"
    if not target.is_dir():
        say(f"building {name} from its Go module, once ({time})")
        build_into(target, (module, "tool", linker))
    return target / name
