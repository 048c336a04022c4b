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

Days = Annotated[float, Field(le=36_500)]
Hours = Annotated[float, Field(le=876_000)]
Minutes = Annotated[float, Field(le=52_560_000)]
Seconds = Annotated[float, Field(le=3_153_600_000)]
"""A length of time of at most a hundred years: a date that is much more away from today is none that Python, Airflow
or a database knows."""

MAX_INTEGER = 2_147_483_647
"""The largest whole number of Airflow's database."""


class Section(BaseModel):
    """Base of every part of a pipeline file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
