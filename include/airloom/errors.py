"""Airloom's errors. Two families decide what the orchestrator does: fail at once, or retry.

Every message says what was given, what is allowed and what to do. A vendor's exception is translated where it is
met (its adapter) and chained.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass


class AirloomError(Exception):
    """Root of all that Airloom raises on purpose."""


class PermanentError(AirloomError):
    """Trying again cannot help: bad data, a failed gate, bad configuration. The task fails at once."""


class TransientError(AirloomError):
    """Trying again may help: a server is away, a node was lost. The task is retried."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a pipeline file, and where.

    Attributes:
        file: as it was given.
        line: counted from 1, as editors do; 0 where the whole file is meant.
        column: in characters, from 1.
        path: such as `spec.train.estimator`; empty where the file's form is meant.
        message: what was given, what is allowed, what to do.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SpecError(PermanentError):
    """A pipeline file, or a defaults file behind it, is not what it must be.

    Args:
        message: the whole text; left out, the findings, one a line.
        findings: all that is wrong, where the loader found it.
    """

    def __init__(self, message: str = "", findings: Iterable[Finding] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__(message or "\n".join(map(str, self.findings)))


class ConfigError(PermanentError):
    """The installation's settings (environment variables, addresses, secrets) are missing or wrong."""


class RunParameterError(PermanentError):
    """A run was started with parameters that its DAG does not take, or that do not fit its pipeline."""


class MissingExtraError(ConfigError):
    """An optional library is not installed.

    Args:
        library: the import that failed, e.g. "feast".
        extra: the extra of the `airloom` dist that brings it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed here. Install it with: {format_install(extra)}")


def format_install(extra: str) -> str:
    """The shell command that brings an extra of the `airloom` dist (or some, with commas) to this environment.
    Airflow's is no place for it, as their libraries conflict: there it is said for the environment of stages."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to load, and errors are loaded always

    try:
        distribution("airloom-airflow")
    except PackageNotFoundError:
        return f"{shlex.quote(sys.executable)} -m pip install 'airloom[{extra}]'"
    return f"python -m pip install 'airloom[{extra}]', in the environment of stages: this one is Airflow's"


class DataError(PermanentError):
    """Data is missing, empty, or not of the declared shape."""


class UserCodeError(PermanentError):
    """An estimator or entry point named by the pipeline cannot be loaded, or raised."""


class GateFailedError(PermanentError):
    """A validation, test or gate said no. The reasons are in the stage's result."""


class ProtocolError(PermanentError):
    """A context or result document is of an unknown version, truncated or not what its digest says."""


class UnavailableError(TransientError):
    """A server that a stage needs (tracker, registry, object store, gateway) does not answer."""


class StoreAwayError(UnavailableError):
    """The object store does not answer, or is busy: the same request may succeed later, with nothing changed by us."""
