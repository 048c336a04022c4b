"""Runs a kubeconfig's exec plugin, and ends it where its answer is not waited for any more.

`cluster_client` puts it in the place of kubernetes_asyncio's own (`ExecProvider`; release 36), whose process runs on
when the waiting is given up, and which waits for ever for one that fills its stderr. How long it is waited for is the
caller's to say: it cancels.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import Any

from kubernetes_asyncio.config.config_exception import ConfigException
from kubernetes_asyncio.config.exec_provider import ExecProvider


class EndedExecProvider(ExecProvider):
    """The plugin that a kubeconfig's user names."""

    async def run(self, previous_response: str | None = None) -> Any:
        """The `status` of its answer.

        Errors:
            ConfigException: it failed, or answered something else. OSError: it cannot be started.
        """
        spec = {"interactive": False, **({"response": previous_response} if previous_response else {})}
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        plugin = await asyncio.create_subprocess_exec(
            *self.args,
            env={**self.env, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            answered, words = await plugin.communicate()
        finally:
            if plugin.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(plugin.pid, signal.SIGKILL)  # with what it started itself
                await plugin.wait()
        if plugin.returncode:
            raise ConfigException(
                f"exec: {self.args[0]} returned {plugin.returncode}. {words.decode(errors='replace').strip()}"
            )
        return self._read(answered)

    def _read(self, answered: bytes) -> Any:
        try:
            answer = json.loads(answered)
            version, status = answer["apiVersion"], answer["status"]
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigException(f"exec: {self.args[0]} gave no ExecCredential: {error!r}") from error
        if version != self.api_version:
            raise ConfigException(f"exec: {self.args[0]} answered in {version}, and {self.api_version} was asked for")
        return status
