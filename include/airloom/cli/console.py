"""The console that commands print to. Not here: what they print."""

from __future__ import annotations

from rich import console


class Console(console.Console):
    """rich's, but where a reader has gone (`| head`) rich would exit with 1; `airloom.cli.main` ends as other tools."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError
