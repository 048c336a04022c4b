"""A process's connection to a cluster's API server, whose credentials are kept fresh.

`pod_watch`, `pod_log` and `pod_kill` read by it, undecoded: the client's own models of a pod cost more than all else.
It knows nothing of pods, and it does not try again: who asked knows how long to wait.

Tokens end: those of an exec plugin (EKS: 15 minutes) are asked for anew before they do, those of a mounted service
account are read anew from their file, by kubernetes_asyncio's hook before each request. Where the API server refuses us
all the same (401), everything is read anew, certificates too, and the request is made once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
_RETIRED = 2
"""How many former clients stay open: their streams still run."""

log = logging.getLogger(__name__)


class ClusterClient:
    """An open connection. `open_client` makes and closes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: ApiClient | None = None
        self._credentials: tuple[Any, ...] = ()
        self._former: list[ApiClient] = []
        self._renewing = asyncio.Lock()
        self._renewed = time.monotonic()

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
        """
        answer = await self._ask(path, query or {}, silence_seconds)
        try:
            yield answer
        finally:
            answer.close()

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Delete exactly this pod; quiet where it is gone or another has its name.

        Errors:
            kubernetes_asyncio.client.ApiException: refused. OSError, aiohttp.ClientError: there was no answer.
        """
        from kubernetes_asyncio.client import ApiException, CoreV1Api, V1DeleteOptions, V1Preconditions

        client = self._require()
        body = V1DeleteOptions(preconditions=V1Preconditions(uid=uid), grace_period_seconds=grace_seconds)
        try:
            await CoreV1Api(client).delete_namespaced_pod(
                name, namespace, body=body, _request_timeout=(CONNECT_SECONDS, CONNECT_SECONDS)
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    async def open(self) -> None:
        """Read the credentials, and be ready."""
        from kubernetes_asyncio.client import ApiClient

        configuration = await _load(self._connection)
        self._client, self._credentials = ApiClient(configuration), _identify(configuration)

    async def close(self) -> None:
        """End every connection."""
        for client in (*self._former, *filter(None, [self._client])):
            await client.close()
        self._former, self._client = [], None

    async def _ask(self, path: str, query: Mapping[str, Any], silence_seconds: float) -> aiohttp.ClientResponse:
        client = self._require()
        answer = await self._send(client, path, query, silence_seconds)
        if answer.status == 401 and await self._renew(client):
            answer.close()
            answer = await self._send(self._require(), path, query, silence_seconds)
        return answer

    async def _send(
        self, client: ApiClient, path: str, query: Mapping[str, Any], silence_seconds: float
    ) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        answer: aiohttp.ClientResponse = await client.call_api(
            path,
            "GET",
            query_params=[(name, _format(value)) for name, value in query.items()],
            header_params={"Accept": "application/json, */*"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        return answer

    async def _renew(self, refused: ApiClient) -> bool:
        """Whether there are other credentials now than those that were refused."""
        from kubernetes_asyncio.client import ApiClient

        async with self._renewing:
            if self._client is not refused:
                return True  # somebody was quicker
            if time.monotonic() - self._renewed < _RENEW_SECONDS and self._former:
                return False
            self._renewed = time.monotonic()
            try:
                configuration = await _load(self._connection)
            except Exception as error:
                log.warning("the credentials of the cluster cannot be read anew: %s", error)
                return False
            if (credentials := _identify(configuration)) == self._credentials:
                return False
            log.info("the API server refused our credentials; going on with new ones")
            self._former.append(refused)
            self._client, self._credentials = ApiClient(configuration), credentials
            while len(self._former) > _RETIRED:
                await self._former.pop(0).close()
            return True

    def _require(self) -> ApiClient:
        assert self._client is not None, "the client is not open"
        return self._client


@asynccontextmanager
async def open_client(connection: Connection) -> AsyncIterator[ClusterClient]:
    """A client for as long as the `with` block lasts."""
    client = ClusterClient(connection)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


async def _load(connection: Connection) -> Configuration:
    """Where the API server is, and who we are, read anew."""
    from kubernetes_asyncio import client, config

    configuration = client.Configuration()
    if connection.conn_id is not None:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        hook = AsyncKubernetesHook(client_configuration=configuration, **build_hook_arguments(connection))
        async with hook.get_conn():
            pass  # fills the configuration; the hook's own client ends every request after a minute
    elif connection.kubeconfig is not None:
        loader = await config.load_kube_config(
            config_file=connection.kubeconfig, context=connection.context, client_configuration=configuration
        )
        configuration.refresh_api_key_hook = _PluginToken(loader)
    else:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = _CONNECTIONS
    return configuration


class _PluginToken:
    """kubernetes_asyncio's hook before each request: asks an exec plugin for another token before this one ends.

    Args:
        loader: of kubernetes_asyncio; it knows the plugin, and asks it five minutes before its token ends.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._asked = time.monotonic()
        self._asking = asyncio.Lock()

    async def __call__(self, configuration: Configuration) -> None:
        if not hasattr(self._loader, "exec_plugin_expiry"):
            return  # no plugin, or one that does not say when its token ends: we hear of it by a 401
        async with self._asking:
            if time.monotonic() - self._asked < _RENEW_SECONDS:
                return
            self._asked = time.monotonic()
            try:
                await self._loader.load_from_exec_plugin()
            except Exception as error:
                log.warning("the kubeconfig's exec plugin gives no token now, going on with the last: %s", error)
                return
            configuration.api_key["BearerToken"] = self._loader.token


def _identify(configuration: Configuration) -> tuple[Any, ...]:
    """What tells one set of credentials from another."""
    files = (configuration.cert_file, configuration.key_file)
    return (configuration.api_key.get("BearerToken"), *(Path(path).read_bytes() if path else None for path in files))


def _format(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
