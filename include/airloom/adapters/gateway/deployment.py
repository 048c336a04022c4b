"""`Deployment` over HTTP: asks the gateway to load the champion, and waits until it serves the version."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from airloom.errors import MissingExtraError, UnavailableError

if TYPE_CHECKING:
    import httpx

_PAUSE_SECONDS = 0.1


class GatewayDeployment:
    """See `airloom.ports.deployment`.

    Args:
        gateway_url: base address, such as `http://127.0.0.1:8090`.
    """

    def __init__(self, gateway_url: str) -> None:
        self._url = gateway_url.rstrip("/")

    def deploy(self, model: str, version: str, timeout_seconds: float) -> str:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("httpx", "serving") from error

        deadline = time.monotonic() + timeout_seconds
        with httpx.Client(base_url=self._url) as client:
            while True:
                left = max(deadline - time.monotonic(), _PAUSE_SECONDS)
                try:
                    found = _load(client, model, version, left)
                except httpx.TransportError as error:
                    found = f"it does not answer ({type(error).__name__}: {error})"
                if found is None:
                    return f"{self._url}/v2/models/{quote(model)}"
                if time.monotonic() >= deadline:
                    raise UnavailableError(
                        f"the gateway at {self._url} did not serve {model} version {version} within "
                        f"{timeout_seconds:g} s: {found}. Is it running (`airloom status`), with the same registry?"
                    )
                time.sleep(_PAUSE_SECONDS)


def _load(client: httpx.Client, model: str, version: str, seconds: float) -> str | None:
    """Ask for the champion; None where the version is served, else what is in the way."""
    asked = client.post(f"/v2/repository/models/{quote(model)}/load", timeout=seconds)
    if not asked.is_success:
        return f"it answers {asked.status_code}: {asked.text[:500]}"
    ready = client.get(f"/v2/models/{quote(model)}/versions/{quote(version)}/ready", timeout=seconds)
    if ready.is_success:
        return None
    return f"the load left it with: {asked.text[:500]}"
