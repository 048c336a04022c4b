"""A page's commands, run as they stand there by one shell, section after section, in a home folder of their own."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!^## ).*\n?)*)", re.MULTILINE)
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read_sections(page: Path) -> dict[str, list[str]]:
    """Title → its commands, one a line, comments left out; sections without commands are left out."""
    found = {}
    for section in _SECTION.finditer(page.read_text(encoding="utf-8")):
        lines = [line.partition(" #")[0].strip() for block in _BLOCK.findall(section["text"]) for line in block.splitlines()]
        if commands := [line for line in lines if line]:
            found[section["title"]] = commands
    return found


class Shell:
    """A person's shell on a machine that has never seen Airloom: no variable of this process's but pip's own settings.

    Args:
        home: the home folder, empty.
        folder: where it starts.
        environ: variables beside.
    """

    def __init__(self, home: Path, folder: Path, environ: Mapping[str, str] = {}) -> None:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_")) or name == "LANG"}
        path = f"{Path(sys.base_prefix) / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={**kept, "HOME": str(home), "PATH": path, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, status: int = 0) -> str:
        """What a command prints; asserts how it ends."""
        end = secrets.token_hex(8)
        assert self._bash.stdin is not None
        # its input is not the shell's: a command that reads it would eat the next one
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n%s %s\\n' {end} $?\n")
        self._bash.stdin.flush()
        printed = "".join(self._read_until(end))
        told, _, ended = printed.rpartition(f"\n{end} ")
        assert int(ended) == status, f"{command}\nended with status {ended.strip()}:\n{told}"
        return told

    def close(self) -> None:
        """End the shell; what it left running runs on."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait()

    def _read_until(self, end: str) -> Iterator[str]:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            yield line
            if line.startswith(end):
                return
        raise AssertionError("the shell has ended")
