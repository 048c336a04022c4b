"""The console that commands print to. Not here: what they print."""

from __future__ import annotations

from rich import console


class Console(console.Console):
    """rich's, but for a reader that has gone (`| head`): rich exits with status 1, `airloom.cli.main` as other tools."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError
