"""The base of every part of a pipeline file, and the kinds of text that its parts share. Pure.

`pipeline`, `orchestration` and `parameters` build on it. It knows no section.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=63)]
"""Lower-case words joined by single `_` or `-`: safe in DAG ids, labels, paths and model names."""

DottedPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
"""A class by its module and name."""

_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d([.,]\d+)?)?)?(Z|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)?"
MOMENT = rf"^{_DATE}([T ]{_TIME})?$"
"""A date or time of ISO 8601, with separators."""

Days = Annotated[float, Field(le=36_500)]
Hours = Annotated[float, Field(le=876_000)]
Minutes = Annotated[float, Field(le=52_560_000)]
Seconds = Annotated[float, Field(le=3_153_600_000)]
"""A length of time of at most a hundred years: a date that is much more away from today is none that Python, Airflow
or a database knows."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Of random draws: what numpy, pandas and scikit-learn take."""

MAX_INTEGER = 2_147_483_647
"""The largest whole number of Airflow's database."""


class MisfitError(ValueError):
    """A section's validator raises it of one value that does not fit the others.

    Args:
        message: what was given, what is allowed, what to do.
        path: keys from the section to that value.
    """

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


class Section(BaseModel):
    """Base of every part of a pipeline file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
