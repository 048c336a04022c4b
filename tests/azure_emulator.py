"""A real server of Azure's blobs for tests: Azurite, Microsoft's own, which `make emulators` brings from npm.

It checks keys and signatures, and honours conditions and block lists. It keeps all in memory, and reports to nobody.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Self

import pytest
from tests.waiting import wait_until

from airloom.stages.lifeline import die_with

PROGRAM = Path(__file__).parents[1] / "build" / "emulators" / "node_modules" / ".bin" / "azurite-blob"
_ACCOUNT = "airloom"
_VERSION = "2021-08-06"


def require_program() -> None:
    """Skip the test where the emulator, or what runs it, is not there."""
    if not PROGRAM.exists() or not shutil.which("node"):
        pytest.skip("no Azurite: `make emulators` brings it (Node.js, npm)")


class AzureEmulator:
    """The server; a `with` block starts and ends it."""

    def __init__(self) -> None:
        self._key = base64.b64encode(os.urandom(32)).decode()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._folder = Path(tempfile.mkdtemp(prefix="airloom-azurite-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self._folder)

    def environ(self) -> dict[str, str]:
        """The variables by which obstore finds it."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": self._key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self._port}/{_ACCOUNT}",
        }

    def make_container(self, name: str) -> None:
        """By Azure's REST API, signed as "Authorize with Shared Key" has it: obstore makes none."""
        date = formatdate(usegmt=True)
        path = f"/{_ACCOUNT}/{name}"
        signed = f"PUT{12 * chr(10)}x-ms-date:{date}\nx-ms-version:{_VERSION}\n/{_ACCOUNT}{path}\nrestype:container"
        digest = hmac.new(base64.b64decode(self._key), signed.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Content-Length": "0",
            "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("PUT", f"{path}?restype=container", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        connection.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block nothing listens at the address. It comes back empty."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            process = self._process = subprocess.Popen(
                [PROGRAM, "--silent", "--disableTelemetry", "--inMemoryPersistence", "--skipApiVersionCheck",
                 "--blobHost", "127.0.0.1", "--blobPort", str(self._port)],
                env={**os.environ, "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{self._key}"},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(die_with, os.getpid()),
            )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, (self._folder / "output").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        wait_until(answers, "Azurite listens")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
