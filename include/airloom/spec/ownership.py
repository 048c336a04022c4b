"""Which of several files that claim one pipeline has its DAGs. Pure.

The Airflow side's bundles go by it, and `airloom validate` and `doctor` beforehand. The file that was there first keeps
the DAGs, and the others are refused. First is, on every machine and after every restart, the file that bears the
pipeline's name (`<team>/<pipeline>.yaml`, which no copy under another name can take over); among files of which none
does, the one whose DAGs Airflow has; else the first in the order of their paths.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airloom.errors import Finding
from airloom.spec.complaints import Complaint
from airloom.spec.loader import SUFFIXES, place_complaints
from airloom.spec.pipeline import Pipeline


@dataclass(frozen=True, order=True)
class Claim:
    """A pipeline by its team and name."""

    team: str
    name: str

    def __str__(self) -> str:
        return f"{self.team}/{self.name}"


def choose_owner(claim: Claim, files: Iterable[str], known: str | None = None) -> str:
    """Which of the files that claim a pipeline has its DAGs.

    Args:
        claim: the pipeline.
        files: paths below the folder of pipeline files; at least one.
        known: the one whose DAGs Airflow has, if any.
    """
    named = list_named(claim)
    return min(files, key=lambda file: (file not in named, file != known, file))


def list_named(claim: Claim) -> list[str]:
    """The paths at which a file bears the pipeline's name: in its team's folder, or in the root."""
    return [f"{folder}{claim.name}{suffix}" for folder in (f"{claim.team}/", "") for suffix in SUFFIXES]


def describe_newcomer(name: str, owner: Path) -> str:
    """What is wrong with a file that claims the pipeline of another.

    Args:
        name: the pipeline's, as the file gives it.
        owner: the file that has its DAGs.
    """
    return (
        f"given {name!r}, which is the pipeline of {owner}, and that file keeps its DAGs; "
        "give this one a name of its own, or remove one of the two files"
    )


def find_newcomers(pipelines: Iterable[tuple[Path, Path | None, Pipeline]]) -> Iterator[tuple[Path, Finding]]:
    """Files that claim a pipeline of another, and what is wrong with each.

    Args:
        pipelines: file, its folder of pipeline files if that is known, and what it holds.
    """
    claimants: defaultdict[Claim, list[tuple[str, Path, Path | None]]] = defaultdict(list)
    for path, root, pipeline in pipelines:
        claim = Claim(pipeline.metadata.team, pipeline.metadata.name)
        below = root is not None and path.absolute().is_relative_to(root.absolute())
        file = path.absolute().relative_to(root.absolute()) if below and root else Path(claim.team, path.name)
        claimants[claim].append((file.as_posix(), path, root))
    for claim, files in claimants.items():
        chosen = choose_owner(claim, [file for file, *_ in files])
        owner = next(path for file, path, _ in files if file == chosen)
        message = describe_newcomer(claim.name, owner)
        if chosen not in list_named(claim):
            message += ". If Airflow has this file's DAGs, it is the other one that is refused"
        for _, path, root in files:
            if path != owner:
                complaint = Complaint(("metadata", "name"), message, False)
                yield path, place_complaints([complaint], path, root)[0]
