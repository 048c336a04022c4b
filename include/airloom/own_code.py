"""Where modules of a user's own are found: below the data root, beside what is installed.

`train` calls it before it loads what a pipeline names, and whatever loads a model before it does, since a model of a
class of one's own needs that class's module. Not here: what is loaded.
"""

from __future__ import annotations

import sys
from pathlib import Path


def make_importable(data_root: Path) -> None:
    """Have this process look below the data root first."""
    if str(data_root) not in sys.path:
        sys.path.insert(0, str(data_root))
