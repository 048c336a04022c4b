"""`python -m airloom`: the `airloom` command."""

import sys

from airloom.cli import main

if __name__ == "__main__":
    sys.exit(main())
