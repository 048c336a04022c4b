"""What `airloom doctor` finds: one `Diagnosis` for each thing that it looked at. Both sides make them; the Airflow
side sends its own as JSON. Not here: how anything is looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "not checked"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word or three, such as `object store`.
        verdict: `not checked` is neither right nor wrong, and is always told.
        where: the file, variable, address or object.
        message: what was found.
        remedy: what to do; empty where it is right.
    """

    check: str
    verdict: Verdict
    where: str
    message: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Diagnosis:
        """
        Errors:
            TypeError: the data is no diagnosis.
        """
        return cls(**data)


def right(check: str, where: str, message: str) -> Diagnosis:
    """It is as it must be."""
    return Diagnosis(check, "right", where, message)


def wrong(check: str, where: str, message: str, remedy: str) -> Diagnosis:
    """A pipeline will fail for it."""
    return Diagnosis(check, "wrong", where, message, remedy)


def unchecked(check: str, where: str, message: str, remedy: str) -> Diagnosis:
    """It could not be looked at; the remedy says how it can be."""
    return Diagnosis(check, "not checked", where, message, remedy)
