"""A stage's section of a log that several stages write one after the other: how a fused pod tells them apart.

The writing side (`airloom.stages.fused`) prints a line where a stage begins and one where it ends; the reading side, in
the triggerer, hands a task its own lines only, and learns its end from the same stream.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

_MARK = "::airloom"


def begin_line(token: str, stage: str) -> str:
    """The line before a stage's first.

    Args:
        token: known to both sides, and to no stage.
    """
    return f"{_MARK} {token} begin {stage}"


def end_line(token: str, stage: str, status: int, pointer: str) -> str:
    """The line after a stage's last.

    Args:
        status: its exit status.
        pointer: JSON of its ResultPointer, or empty.
    """
    return f"{_MARK} {token} end {stage} {json.dumps({'status': status, 'pointer': pointer})}"


@dataclass
class Section:
    """Reads one stage's section.

    Attributes:
        status: its exit status, once its end was read.
        pointer: JSON of its ResultPointer, or empty.
    """

    token: str
    stage: str
    status: int | None = None
    pointer: str = ""
    _inside: bool = False

    def takes(self, line: str) -> bool:
        """Whether the line is the stage's own. Takes in the marks."""
        if line.startswith(f"{_MARK} {self.token} "):
            _, _, what, stage, *told = line.split(" ", 4)
            if stage == self.stage:
                self._inside = what == "begin"
                if what == "end":
                    answer = json.loads(told[0])
                    self.status, self.pointer = answer["status"], answer["pointer"]
            return False
        return self._inside
