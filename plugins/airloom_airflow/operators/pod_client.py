"""The pods of a cluster as a stage's operator needs them: made once, found by uid, read and deleted whatever comes.

`stage_pod` calls it, in a worker, and the janitor. An API server that is away for a moment (it restarts, a connection
breaks, it asks to wait) is asked again until a limit, so that nothing that has happened is lost for it. A pod is only
ever touched by its uid: a name can come back. What a pod's state means is not decided here (`pod_verdict`).
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes.client import CoreV1Api, V1Pod  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from airloom.errors import ConfigError, TransientError, UnavailableError
from airloom.spec.cluster import Connection
from airloom_airflow.pods.connection import build_hook_arguments
from airloom_airflow.pods.pod import CONTAINER, SECRET_ANNOTATION, SECRET_GATE, TASK_INSTANCE_LABEL
from airloom_airflow.pods.quota import find_excess
from airloom_airflow.pods.secret import build_secret
from airloom_airflow.triggers.pod_log import LONGEST_LINE, LogPosition, split_lines
from airloom_airflow.triggers.pod_watch import PodPlace

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

AWAY_SECONDS = 90.0
"""How long an API server may be away, or a former pod of the same name may take to go."""
_AWAY = (0, 401, 429, 500, 502, 503, 504)
"""Of a server that is there and cannot answer, too: who cannot ask its authenticator for our name says 401."""
_UNREADY_SECONDS = 10.0
"""How long rights may seem to be lacking: an API server that has just started knows none for a moment, and says 403."""
_PERMANENT = (400, 403, 404, 422)
_PAUSE_SECONDS = 0.5
_TIMEOUT_SECONDS = (5, 30)
"""To connect, to answer."""
_CHUNK_BYTES = 65536
"""Of a log, held at once."""

_SECRET_REFUSED = "its secret was refused (Airflow's account needs the rights of helm/team-namespace.yaml)"

_Answer = TypeVar("_Answer")


class QuotaExceededError(TransientError):
    """The namespace's quota has no room for the pod now."""


class PodClient:
    """Pods by one connection.

    Args:
        connect: opens Kubernetes' own client; called again where the API server refuses the credentials.
        connection: that a pod's place names.
        log: gets what a user should know.
        away_seconds: see `AWAY_SECONDS`.
    """

    def __init__(
        self,
        connect: Callable[[], CoreV1Api],
        connection: Connection,
        log: Logger,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self._connect = connect
        self._api = connect()
        self._connection = connection
        self._log = log
        self._away_seconds = away_seconds

    def find_place(self, pod: V1Pod) -> PodPlace:
        """Where a pod is."""
        metadata = pod.metadata
        return PodPlace(self._connection, metadata.namespace, metadata.name, metadata.uid)

    def create(self, pod: V1Pod) -> V1Pod:
        """Make a pod, or find the one that this very try has made; one of another try that has its name goes first.

        Errors:
            QuotaExceededError: the quota has no room for it.
            ConfigError: it is no pod, or may not be one.
            UnavailableError: the API server is away, or the former pod does not go.
        """
        metadata = pod.metadata
        deadline = time.monotonic() + self._away_seconds
        while True:
            try:
                return self._patiently("make", metadata.name, lambda api: _require_pod(api.create_namespaced_pod(
                    metadata.namespace, pod, _request_timeout=_TIMEOUT_SECONDS)))  # fmt: skip
            except ApiException as error:
                if error.status != 409:
                    raise _translate(error, metadata) from error
            found = self._read(metadata.name, metadata.namespace)
            if found is not None and found["metadata"].get("deletionTimestamp") is None:
                if found["metadata"].get("labels", {}).get(TASK_INSTANCE_LABEL) == metadata.labels[TASK_INSTANCE_LABEL]:
                    self._log.info("Pod %s is there already; going on with it.", metadata.name)
                    place = PodPlace(self._connection, metadata.namespace, metadata.name, found["metadata"]["uid"])
                    if (made := self.read_model(place)) is not None:
                        return made
                else:
                    self.delete(
                        PodPlace(self._connection, metadata.namespace, metadata.name, found["metadata"]["uid"]), 0
                    )
            if time.monotonic() > deadline:
                raise UnavailableError(f"a former pod {metadata.name} does not go away")
            time.sleep(_PAUSE_SECONDS)

    def give_secret(self, pod: V1Pod, values: Mapping[str, str]) -> None:
        """Make the Secret that a pod of ours is held for, and let the pod go on. Quiet where either is done already, or
        the pod is gone: whoever waits for it will know.

        Errors:
            QuotaExceededError, ConfigError: the Secret, or the change of the pod, was refused; the pod is deleted.
            UnavailableError: the API server is away; the pod stays, held, for a later try to delete.
        """
        metadata = pod.metadata
        secret = build_secret(metadata.to_dict(), metadata.annotations[SECRET_ANNOTATION], values)
        freed = {
            "metadata": {"uid": metadata.uid},
            "spec": {"schedulingGates": [{"name": SECRET_GATE, "$patch": "delete"}]},
        }
        # The client decodes no answer, for it logs what it decodes (level DEBUG), and a Secret's has its values.
        steps: tuple[Callable[[CoreV1Api], object], ...] = (
            lambda api: _load_object(api.create_namespaced_secret(
                metadata.namespace, secret, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS)),
            lambda api: _load_object(api.patch_namespaced_pod(
                metadata.name, metadata.namespace, freed, _preload_content=False,
                _request_timeout=_TIMEOUT_SECONDS)),
        )  # fmt: skip
        for step in steps:
            try:
                self._patiently("give its secret to", metadata.name, step)
            except ApiException as error:
                if error.status in (404, 409):
                    continue
                self.delete(self.find_place(pod), 0)
                raise _translate(error, metadata, _SECRET_REFUSED) from error

    def read(self, place: PodPlace) -> dict[str, Any] | None:
        """The pod as the API server has it; None where it is gone.

        Errors:
            UnavailableError: the API server is away. ConfigError: it refuses.
        """
        pod = self._read(place.name, place.namespace)
        return pod if pod is not None and pod["metadata"]["uid"] == place.uid else None

    def read_model(self, place: PodPlace) -> V1Pod | None:
        """`read`, as Kubernetes' client has it."""
        try:
            pod = self._patiently("read", place.name, lambda api: _require_pod(api.read_namespaced_pod(
                place.name, place.namespace, _request_timeout=_TIMEOUT_SECONDS)))  # fmt: skip
        except ApiException as error:
            if error.status == 404:
                return None
            raise ConfigError(f"pod {place.name} cannot be read: {error.reason}") from error
        return pod if pod.metadata.uid == place.uid else None

    def read_log(self, place: PodPlace, begin: Callable[[], LogPosition]) -> LogPosition | None:
        """Read what the stage's container has written, in pieces, up to the end of the section that is wanted.

        Args:
            begin: gives what gets the lines; again where the connection broke, for the log is read anew then.

        Returns:
            What got them in the end; None where there is no log.

        Errors:
            UnavailableError: the API server is away.
        """

        def ask(api: CoreV1Api) -> LogPosition:
            position = begin()
            answer = api.read_namespaced_pod_log(
                place.name, place.namespace, container=CONTAINER, timestamps=True, _preload_content=False,
                _request_timeout=_TIMEOUT_SECONDS)  # fmt: skip
            try:
                _require_text(answer)
                for line in split_lines(answer.stream(_CHUNK_BYTES), LONGEST_LINE):
                    position.accept(line)
                    if position.is_over:
                        break
            finally:
                answer.close()
            return position

        try:
            return self._patiently("read the log of", place.name, ask)
        except ApiException:
            return None  # it has no log yet, or is gone; whoever waits for it will know

    def list(self, namespace: str, selector: str) -> list[V1Pod]:
        """Pods by labels.

        Errors:
            UnavailableError: the API server is away. ConfigError: it refuses.
        """
        try:
            answer = self._patiently("list", selector, lambda api: api.list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=_TIMEOUT_SECONDS))  # fmt: skip
        except ApiException as error:
            raise ConfigError(f"pods of namespace {namespace} cannot be listed: {error.reason}") from error
        return list(answer.items)

    def delete(self, place: PodPlace, grace_seconds: int | None = None) -> bool:
        """Exactly this pod. False: it cannot be deleted now, which is logged; it is the janitor's."""
        body: dict[str, Any] = {"preconditions": {"uid": place.uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        return self._quietly("delete", place, lambda api: _load_object(api.delete_namespaced_pod(
            place.name, place.namespace, body=body, _preload_content=False,
            _request_timeout=_TIMEOUT_SECONDS)))  # fmt: skip

    def hold(self, place: PodPlace, annotations: dict[str, str]) -> None:
        """Put on exactly this pod who waits for it; quiet where it is gone.

        Errors:
            UnavailableError: the API server is away. ConfigError: it refuses.
        """
        try:
            self._patiently("mark", place.name, _patch(place, {"annotations": annotations}))
        except ApiException as error:
            if error.status not in (404, 409):
                raise ConfigError(f"pod {place.name} cannot be marked: {error.reason}") from error

    def mark(self, place: PodPlace, labels: dict[str, str]) -> None:
        """Put labels on exactly this pod. What fails is logged."""
        self._quietly("mark", place, _patch(place, {"labels": labels}))

    def _read(self, name: str, namespace: str) -> dict[str, Any] | None:
        try:
            return self._patiently("read", name, lambda api: _load_object(api.read_namespaced_pod(
                name, namespace, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS)))  # fmt: skip
        except ApiException as error:
            if error.status == 404:
                return None
            raise ConfigError(f"pod {name} cannot be read: {error.reason}") from error

    def _quietly(self, what: str, place: PodPlace, ask: Callable[[CoreV1Api], object]) -> bool:
        """Whether it is done, or the pod is gone. Else the log says why not."""
        try:
            self._patiently(what, place.name, ask)
        except ApiException as error:
            if error.status not in (404, 409):
                self._log.warning("Cannot %s pod %s: %s", what, place.name, error.reason)
                return False
        except UnavailableError as error:
            self._log.warning("Cannot %s pod %s now: %s", what, place.name, error)
            return False
        return True

    def _patiently(self, what: str, name: str, ask: Callable[[CoreV1Api], _Answer]) -> _Answer:
        """The API server's answer, however often it must be asked while it is away.

        Args:
            ask: gives the answer with its body read, for a connection may break in the middle of it, and decoded, for
                a gateway may answer with a page of its own: a ValueError then.

        Errors:
            UnavailableError: it is away for longer than the limit.
            ApiException: it refuses.
        """
        started = time.monotonic()
        renewed = False
        while True:
            try:
                return ask(self._api)
            except ApiException as error:
                if error.status == 401 and not renewed:
                    renewed, self._api = True, self._connect()
                    continue
                unready = _lacks_rights(error) and time.monotonic() - started < _UNREADY_SECONDS
                if error.status not in _AWAY and not unready:
                    raise
                failure: Exception = error
            except (HTTPError, OSError, ValueError) as error:
                failure = error
            if time.monotonic() - started > self._away_seconds:
                raise UnavailableError(
                    f"the API server was away for {self._away_seconds:g} s; cannot {what} pod {name}: {failure}"
                ) from failure
            time.sleep(_PAUSE_SECONDS)


def open_api(connection: Connection) -> CoreV1Api:
    """Kubernetes' own client, without the tries of urllib3 below it, each of which would take all of a time-out:
    `PodClient` has its own, with one limit for all.

    Errors:
        Exception: the credentials cannot be read, as their kubeconfig, plugin or Airflow connection says it.
    """
    api = KubernetesHook(**build_hook_arguments(connection)).core_v1_client
    api.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    return api


def _patch(place: PodPlace, marks: dict[str, Any]) -> Callable[[CoreV1Api], object]:
    body = {"metadata": {"uid": place.uid, **marks}}
    return lambda api: _load_object(
        api.patch_namespaced_pod(
            place.name, place.namespace, body, _preload_content=False, _request_timeout=_TIMEOUT_SECONDS
        )
    )


def _load_object(answer: Any) -> dict[str, Any]:
    """What the API server answered, undecoded by its client.

    Errors:
        ValueError: it was not the API server that answered.
    """
    document = json.loads(answer.data)
    if not isinstance(document, dict) or "metadata" not in document:
        raise ValueError(f"the answer is no object of Kubernetes: {answer.data[:200]!r}")
    return document


def _require_pod(answer: V1Pod) -> V1Pod:
    """The client makes an empty pod of whatever it cannot decode.

    Errors:
        ValueError: it was not the API server that answered.
    """
    if answer.metadata is None:
        raise ValueError("the answer is no object of Kubernetes")
    return answer


def _require_text(answer: Any) -> None:
    """
    Errors:
        ValueError: it was not a container's log.
    """
    if "html" in answer.headers.get("Content-Type", ""):
        raise ValueError("the answer is a page, and no log")


def _lacks_rights(error: ApiException) -> bool:
    """Whether RBAC refuses, and not a quota, a policy or a webhook."""
    return error.status == 403 and re.search(r" cannot \w+ resource ", _read_words(error)) is not None


def _read_words(error: ApiException) -> str:
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return str(json.loads(error.body)["message"])
    return str(error.reason)


def _translate(error: ApiException, metadata: Any, what: str = "it was refused") -> Exception:
    """The API server refused a pod: for good where it is not a pod or may not be one, else for now."""
    words = _read_words(error)
    message = f"pod {metadata.name}: {what} in namespace {metadata.namespace}: {words}"
    if error.status == 403 and "exceeded quota" in words:
        if excess := find_excess(words, of_zero=False):
            return ConfigError(f"{message}: {excess}; ask for less in the profile, or raise the quota")
        return QuotaExceededError(message)
    return ConfigError(message) if error.status in _PERMANENT else UnavailableError(message)
