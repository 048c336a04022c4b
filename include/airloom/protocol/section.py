"""The marks in a pod's log where a stage begins and ends.

Who reads the log in the triggerer learns a stage's end from the same stream: about a second before Kubernetes tells it,
and with no request. In a pod of several stages (`airloom.stages.fused`) they part one stage's lines from another's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

TOKEN_VARIABLE = "AIRLOOM_POD_UID"
"""Tells a pod's first process the token of its marks; the stages' own code does not see it."""
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

    Args:
        shared: other stages write into the same log. Else every line but the marks is the stage's.

    Attributes:
        status: its exit status, once its end was read.
        pointer: JSON of its ResultPointer, or empty.
    """

    token: str
    stage: str
    shared: bool = True
    status: int | None = None
    pointer: str = ""
    _inside: bool = False

    def accepts(self, line: str) -> bool:
        """Whether the line is the stage's own. Takes in the marks."""
        if line.startswith(f"{_MARK} {self.token} "):
            _, _, what, stage, *answered = line.split(" ", 4)
            if stage == self.stage:
                self._inside = what == "begin"
                if what == "end":
                    answer = json.loads(answered[0])
                    self.status, self.pointer = answer["status"], answer["pointer"]
            return False
        return self._inside or not self.shared
