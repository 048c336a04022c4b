"""`python -m airloom.stages STAGE [--context FILE] --pointer FILE`: runs one stage.

Exit status: 0 the stage succeeded and its result is published; 65 (EX_DATAERR) it failed for good; 75 (EX_TEMPFAIL)
trying again may help. Anything else is a lost process. `python -m airloom.stages fused` runs a group of them.
"""

from __future__ import annotations

import os
import signal
import sys

from airloom.stages.lifeline import die_with

if __name__ == "__main__":
    if os.getpid() == 1:  # a container's first process: signals do nothing to it unless it says what they do
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    launcher = os.environ.pop("AIRLOOM_STAGE_LAUNCHER", None)
    if launcher:
        die_with(int(launcher))
    if sys.argv[1:] == ["fused"]:
        from airloom.stages import fused

        sys.exit(fused.main())
    from airloom.stages.runner import main

    sys.exit(main(sys.argv[1:]))
