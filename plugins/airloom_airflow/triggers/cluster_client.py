"""A process's connection to a cluster's API server, whose credentials are kept fresh.

`pod_watch`, `pod_log` and `pod_kill` read by it, undecoded: the client's own models of a pod cost more than all else.
It knows nothing of pods, and it does not try again: who asked knows how long to wait.

Tokens end: those of an exec plugin (EKS: 15 minutes) are asked for anew before they do, those of a mounted service
account are read anew from their file, by kubernetes_asyncio. Where the API server refuses us all the same (401),
everything is read anew, certificates too, and the request is made once more. A plugin that hangs is ended
(`exec_plugin`), and holds up nobody for longer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from airloom.spec.cluster import Connection
from airloom_airflow.pods.connection import build_hook_arguments

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""How long an answer that is no stream may take to come."""
_CONNECTIONS = 4096
_RENEW_SECONDS = 5.0
"""The least time between two times of reading credentials anew; a plugin is a process, and pods are many."""
_LOAD_SECONDS = 15.0
"""How long a plugin, or whatever else has the credentials, may take to give them."""
_RETIRED = 2
"""How many former clients stay open: their streams still run."""

_Loaded = TypeVar("_Loaded")

log = logging.getLogger(__name__)


class ClusterClient:
    """An open connection. `share_client` makes and closes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: ApiClient | None = None
        self._credentials: tuple[Any, ...] = ()
        self._token: _PluginToken | None = None
        self._former: list[ApiClient] = []
        self._renewing = asyncio.Lock()
        self._renewed = -math.inf
        self._problem = ""

    @asynccontextmanager
    async def get(
        self, path: str, query: Mapping[str, Any] | None = None, silence_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and give the answer of whatever status, its body not read yet.

        Args:
            path: from the root of the API server.
            query: as the API has it, such as `{"labelSelector": "a=b"}`.
            silence_seconds: how long nothing may come before the connection counts as lost.

        Errors:
            OSError, TimeoutError, aiohttp.ClientError: there was no answer.
            Exception: the credentials cannot be read, as their kubeconfig, plugin or Airflow connection says it.
        """
        answer = await self._ask(_Call("GET", path, query or {}, silence_seconds=silence_seconds))
        try:
            yield answer
        finally:
            answer.close()

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Delete exactly this pod; quiet where it is gone or another has its name.

        Errors:
            ConnectionError: refused. OSError, TimeoutError, aiohttp.ClientError: there was no answer.
        """
        body: dict[str, Any] = {"preconditions": {"uid": uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        answer = await self._ask(_Call("DELETE", path, body=body, silence_seconds=CONNECT_SECONDS))
        try:
            if answer.status not in (200, 202, 404, 409):
                raise ConnectionError(f"pod {name} is not deleted: status {answer.status} {await answer.text()}")
        finally:
            answer.close()

    async def _open(self) -> None:
        """Read the credentials for the first time; what cannot be read now is read by the next request."""
        from kubernetes_asyncio.client import ApiClient

        async with self._renewing:
            if self._client is not None:
                return
            if self._problem and time.monotonic() - self._renewed < _RENEW_SECONDS:
                raise ConnectionError(self._problem)  # those that waited behind who tried it need not try too
            try:
                configuration, self._token = await _in_time(_load(self._connection))
            except Exception as error:
                self._problem, self._renewed = f"the credentials cannot be read: {error}", time.monotonic()
                raise
            self._client, self._credentials = ApiClient(configuration), _identify(configuration)

    async def close(self) -> None:
        """End every connection."""
        for client in (*self._former, *filter(None, [self._client])):
            await client.close()
        self._former, self._client = [], None

    async def _ask(self, call: _Call) -> aiohttp.ClientResponse:
        if self._client is None:
            await self._open()
        if self._token is not None:
            await self._token.refresh()
        client = self._require()
        answer = await call.send(client)
        if answer.status == 401 and await self._renew(client):
            answer.close()
            answer = await call.send(self._require())
        return answer

    async def _renew(self, refused: ApiClient) -> bool:
        """Whether there are other credentials now than those that were refused."""
        from kubernetes_asyncio.client import ApiClient

        async with self._renewing:
            if self._client is not refused:
                return True  # somebody was quicker
            if time.monotonic() - self._renewed < _RENEW_SECONDS:
                return False
            try:
                configuration, token = await _in_time(_load(self._connection))
            except Exception as error:
                log.warning("the credentials of the cluster cannot be read anew: %s", error)
                return False
            finally:
                self._renewed = time.monotonic()
            if (credentials := _identify(configuration)) == self._credentials:
                return False
            log.info("the API server refused our credentials; going on with new ones")
            self._former.append(refused)
            self._client, self._credentials, self._token = ApiClient(configuration), credentials, token
            while len(self._former) > _RETIRED:
                await self._former.pop(0).close()
            return True

    def _require(self) -> ApiClient:
        assert self._client is not None, "the client is not open"
        return self._client


@dataclass(frozen=True)
class _Call:
    """One request. `send` gives its answer undecoded."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    silence_seconds: float = ANSWER_SECONDS

    async def send(self, client: ApiClient) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=self.silence_seconds)
        answer: aiohttp.ClientResponse = await client.call_api(
            self.path,
            self.method,
            query_params=[(name, _format(value)) for name, value in self.query.items()],
            header_params={"Accept": "application/json, */*"},
            body=self.body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        return answer


@dataclass
class _Shared:
    client: ClusterClient
    users: int = 0


_shared: dict[tuple[int, Connection], _Shared] = {}


@asynccontextmanager
async def share_client(connection: Connection) -> AsyncIterator[ClusterClient]:
    """The event loop's one client of the connection, for as long as anybody uses it. It connects, and reads its
    credentials, when it is asked."""
    key = (id(asyncio.get_running_loop()), connection)
    shared = _shared.setdefault(key, _Shared(ClusterClient(connection)))
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[key]
            await shared.client.close()


async def _in_time(loading: Awaitable[_Loaded]) -> _Loaded:
    """
    Errors:
        TimeoutError: it took too long; it is cancelled. Others: as it has them.
    """
    try:
        return await asyncio.wait_for(loading, _LOAD_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"the kubeconfig's plugin, or Airflow, gave none within {_LOAD_SECONDS:g} s") from error


async def _load(connection: Connection) -> tuple[Configuration, _PluginToken | None]:
    """Where the API server is, and who we are, read anew."""
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.config import kube_config

    from airloom_airflow.triggers.exec_plugin import EndedExecProvider

    kube_config.ExecProvider = EndedExecProvider  # type: ignore[attr-defined]  # no argument of its loaders names another
    configuration = client.Configuration()
    token = None
    if connection.conn_id is not None:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        hook = AsyncKubernetesHook(client_configuration=configuration, **build_hook_arguments(connection))
        async with hook.get_conn():
            pass  # fills the configuration; the hook's own client ends every request after a minute
    elif connection.kubeconfig is not None:
        loader = await config.load_kube_config(
            config_file=connection.kubeconfig, context=connection.context, client_configuration=configuration
        )
        token = _PluginToken(loader, configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = _CONNECTIONS
    return configuration, token


class _PluginToken:
    """Asks an exec plugin for another token before this one ends. Not by the hook of kubernetes_asyncio's
    configuration: before its release 36 that one awaits nothing, and a plugin is a process.

    Args:
        loader: of kubernetes_asyncio; it knows the plugin, and asks it five minutes before its token ends.
        configuration: gets the token.
    """

    def __init__(self, loader: Any, configuration: Configuration) -> None:
        self._loader = loader
        self._configuration = configuration
        self._asked = time.monotonic()
        self._asking = asyncio.Lock()

    async def refresh(self) -> None:
        """Before each request."""
        if not hasattr(self._loader, "exec_plugin_expiry"):
            return  # no plugin, or one that does not say when its token ends: we hear of it by a 401
        async with self._asking:
            if time.monotonic() - self._asked < _RENEW_SECONDS:
                return
            try:
                await _in_time(self._loader.load_from_exec_plugin())
            except Exception as error:
                log.warning("the kubeconfig's exec plugin gives no token now, going on with the last: %s", error)
                return
            finally:
                self._asked = time.monotonic()
            self._configuration.api_key["BearerToken"] = self._loader.token


def _identify(configuration: Configuration) -> tuple[Any, ...]:
    """What tells one set of credentials from another."""
    files = (configuration.cert_file, configuration.key_file)
    return (configuration.api_key.get("BearerToken"), *(Path(path).read_bytes() if path else None for path in files))


def _format(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
