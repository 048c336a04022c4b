"""`python -m airloom.stages STAGE --context FILE --pointer FILE`: runs one stage.

Exit status: 0 the stage succeeded and its result is published; 65 (EX_DATAERR) it failed for good; 75 (EX_TEMPFAIL)
trying again may help. Anything else is a lost process.
"""

from __future__ import annotations

import sys

from airloom.stages.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
