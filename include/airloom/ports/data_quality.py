"""Data quality: expectations on rows, and a report that people can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airloom.protocol import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class QualityReport:
    """What was found.

    Attributes:
        verdicts: one an expectation, in the file's order.
        document: the vendor's whole result, as JSON.
        docs: folder of web pages with an `index.html`.
    """

    verdicts: tuple[Verdict, ...]
    document: bytes
    docs: Path


class DataQuality(Protocol):
    def validate(
        self, rows: pd.DataFrame, name: str, expectations: Sequence[Mapping[str, Mapping[str, Any]]], folder: Path
    ) -> QualityReport:
        """Check every expectation (`{expect_…: arguments}`) on the rows.

        Args:
            name: of the dataset, as the report shows it.
            folder: where the docs are written.

        Errors:
            SpecError: there is no such expectation, or it does not take these arguments.
        """
        ...

    def find_faults(self, expectations: Sequence[Mapping[str, Mapping[str, Any]]]) -> Mapping[int, str]:
        """What `validate` would refuse, before there are rows: position of an expectation → what is wrong with it."""
        ...
