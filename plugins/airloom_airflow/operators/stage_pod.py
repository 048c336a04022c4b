"""A stage as a pod: KubernetesPodOperator with Airloom's way of waiting, judging and starting again.

`dag_factory` builds it where the installation's runtime is Kubernetes. What stock KubernetesPodOperator does by asking
the API server every second or two (10 to 17 s for a trivial stage) is done here by one watch for all pods, in the
triggerer; the stage's answer comes by the pod's termination message, without a sidecar.

A pod's name is made of the task and its try, so the API server itself sees to it that a try has one pod at a time:
whoever starts it a second time finds it there, and goes on with it. Pods are waited for and deleted by uid.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.settings import pod_mutation_hook
from kubernetes.client import V1ObjectMeta, V1Pod  # type: ignore[import-untyped]
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from airloom.errors import AirloomError
from airloom.protocol.context import LineageParent, StageContext, StageGroup, StageStep
from airloom.protocol.launch import CONTEXT_VARIABLE, StageFailedError, StageInterruptedError, judge_exit
from airloom.protocol.section import Section
from airloom.settings import Settings, load_settings
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import find_compute
from airloom_airflow.operators.artifact_link import STAGE_LINKS, build_addresses
from airloom_airflow.operators.failures import told_to_airflow
from airloom_airflow.operators.stage_context import build_stage_context, find_lineage_parent, published_result_uri
from airloom_airflow.operators.stage_result import load_result
from airloom_airflow.operators.time_limits import bound_running
from airloom_airflow.pods.cluster_file import Cluster, Profile, load_cluster
from airloom_airflow.pods.pod import (
    CONTAINER,
    GROUP_LABEL,
    JUDGED_LABEL,
    STAGES_ANNOTATION,
    TASK_INSTANCE_LABEL,
    TERMINATION_LOG,
    PodRequest,
    build_pod,
    digest_group,
    raise_memory,
)
from airloom_airflow.pods.schema import require_valid_pod
from airloom_airflow.pods.state import PodState, read_state
from airloom_airflow.triggers.pod_watch import LogPosition, PodPlace, follow_pod
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place, load_place, write_log

if TYPE_CHECKING:
    from airflow.sdk import Context

_START_SECONDS = 90.0
"""How long an API server may be away, or a former pod of the same name may take to go."""
_CONFIRM_SECONDS = 60.0
"""How long a stage that told its end may take to end."""
_LAUNCHES_A_TRY = 100
_AWAY = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Launch:
    """What a try has been through.

    Attributes:
        number: pods that it had before this one.
        losses: how many of them the infrastructure lost.
        memory: what this one gets in place of its profile's.
    """

    number: int = 0
    losses: int = 0
    memory: str | None = None


class StagePodOperator(KubernetesPodOperator):
    """Run one stage in a pod; `task_id` is the stage's name.

    Args:
        pipeline: the resolved pipeline file.
        earlier: the stages before this one in the run.
        group: the stages that share a pod (`execution: fused`), in their order. The first that finds none starts it,
            for itself and those after it; it runs them without waiting for their tasks, which find their answers there.
        kwargs: Airflow's own.

    The task's value (XCom) is the URI of the stage's result document. A permanent failure fails the task at once, a
    transient one is retried. A lost pod is started again within the try, as often as the profile says.
    """

    template_fields = ()
    ui_color = "#e8f4f2"

    def __init__(
        self, *, pipeline: Pipeline, earlier: tuple[str, ...] = (), group: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(kubernetes_conn_id=None, **kwargs)
        self.do_xcom_push = True  # of the task's value; KubernetesPodOperator means its sidecar, which is never made
        self.pipeline = pipeline
        self.earlier = earlier
        self.group = group or (self.task_id,)
        self.operator_extra_links = STAGE_LINKS.get(self.task_id, ())
        self.links: dict[str, str] = {}
        self._place: PodPlace | None = None

    def execute(self, context: Context) -> str:
        """Start the pod, or find it running, and wait for it; returns the result's URI.

        Errors:
            AirflowFailException: a permanent failure: of the stage, its image, its profile, its memory.
            AirflowException: a transient one.
        """
        with told_to_airflow():
            self._connect()
            return self._run(context, Launch(), self._find_pod(context))

    def resume(self, context: Context, event: Mapping[str, Any]) -> str:
        """The trigger saw the pod's end."""
        with told_to_airflow():
            self._connect()
            place, launch = load_place(event["place"]), Launch(**event["launch"])
            self._call_back("on_operator_resuming", context, pod=self._read_for_callbacks(place), event=event)
            answer = self._judge(context, place, PodState(**event["state"]), launch)
            return self._run(context, answer) if isinstance(answer, Launch) else answer

    def on_kill(self) -> None:
        """Killed while it holds a worker: its pod goes. Deferred, the trigger sees to it."""
        self._killed = True
        if self._place is not None:
            self._delete(self._place)

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> V1Pod:
        """The pod of a try that had none before."""
        assert context is not None
        self._connect()
        return self._build(context, Launch())

    def _run(self, context: Context, launch: Launch, place: PodPlace | None = None) -> str:
        while True:
            state = self._read_section(place) if place is not None else None
            place = place or self._start(context, launch)
            limits, shared = self._profile.limits, len(self.group) > 1
            limits = bound_running(limits, len(self._stages), self.execution_timeout)
            if state is None and self.deferrable:
                self.defer(
                    trigger=StagePodTrigger(
                        place=dump_place(place),
                        limits=limits.model_dump(mode="json"),
                        launch=asdict(launch),
                        stage=self.task_id,
                        shared=shared,
                    ),
                    method_name="resume",
                )
            if state is None:
                self._place = place
                state = asyncio.run(follow_pod(place, limits, write_log, self.task_id, shared=shared))
                self._place = None
            answer = self._judge(context, place, state, launch)
            if not isinstance(answer, Launch):
                return answer
            launch, place = answer, None

    @property
    def _stages(self) -> tuple[str, ...]:
        """What a pod that this task starts runs."""
        return self.group[self.group.index(self.task_id) :]

    def _judge(self, context: Context, place: PodPlace, state: PodState, launch: Launch) -> str | Launch:
        """What a pod's end means: the result's URI, another launch, or an error. Then the pod goes."""
        if self._killed:
            raise AirflowException("the task was ended from outside")
        failed = True
        pod = self._read_for_callbacks(place)
        try:
            self._call_back("on_pod_completion", context, pod=pod)
            answer = self._read_end(self._confirm(place, state), launch)
            failed = isinstance(answer, Launch)
            return answer
        finally:
            self._call_back("on_pod_teardown", context, pod=pod)
            if failed and self._cluster.keep_failed_pods:
                self._mark(place, labels={JUDGED_LABEL: "true"})
            elif not failed and len(self._stages) > 1:  # the others' answers are still in it
                self._mark(place, annotations={_taken(self.task_id): str(context["ti"].id)})
            else:
                self._delete(place, grace_seconds=0)
            self._call_back("on_pod_cleanup", context, pod=pod)

    def _confirm(self, place: PodPlace, state: PodState) -> PodState:
        """What Kubernetes says of a stage that told its own end: only its exit status and termination message count.

        The stage tells it about a second earlier, in which Airflow has brought the task back to a worker. Of a pod that
        runs on for other stages there is only the stage's own word.
        """
        if not state.by_stage or len(self.group) > 1:
            return state
        deadline = time.monotonic() + _CONFIRM_SECONDS
        while True:
            pod = self._read_json(place)
            confirmed = read_state(pod, datetime.now(UTC), self._profile.limits)
            if confirmed.ending is not None or time.monotonic() > deadline:
                return confirmed
            time.sleep(0.1)

    def _read_json(self, place: PodPlace) -> dict[str, Any] | None:
        """The pod as the API server tells it; None where it is gone."""
        try:
            answer = self.client.read_namespaced_pod(place.name, place.namespace, _preload_content=False)
            pod = json.loads(answer.data)
        except ApiException as error:
            if error.status == 404:
                return None
            raise AirflowException(f"pod {place.name} cannot be read: {error.reason}") from error
        assert isinstance(pod, dict)
        return pod if pod["metadata"]["uid"] == place.uid else None

    def _read_end(self, state: PodState, launch: Launch) -> str | Launch:
        profile = self._profile
        if state.ending == "exited":
            return self._take_result(state)
        if state.ending == "lost":
            if launch.losses >= profile.infrastructure_losses:
                raise AirflowException(
                    f"the pod was lost {launch.losses + 1} times, which is more than the profile's "
                    f"infrastructure_losses; the last: {state.message}"
                )
            self.log.warning(
                "Infrastructure loss %d of %d: %s. The stage is started again; no retry is used up.",
                launch.losses + 1, profile.infrastructure_losses, state.message,
            )  # fmt: skip
            return replace(launch, number=launch.number + 1, losses=launch.losses + 1)
        if state.ending == "out-of-memory":
            memory = raise_memory(profile, launch.memory or profile.memory)
            if memory is None:
                raise AirflowFailException(
                    f"{state.message}. Give the profile {find_compute(self.pipeline, self.task_id)!r} more memory, or "
                    "a memory_max up to which it may be raised."
                )
            self.log.warning("%s. It is started again with %s bytes.", state.message, memory)
            return replace(launch, number=launch.number + 1, memory=memory)
        if state.ending == "refused":
            raise AirflowFailException(f"the pod cannot start: {state.message}")
        raise AirflowException(f"the pod was given up: {state.message}")

    def _take_result(self, state: PodState) -> str:
        status = state.exit_code or 0
        try:
            pointer = judge_exit(self.task_id, 128 - status if status > 128 else status, state.message, "(see above)")
        except AirloomError as error:
            if isinstance(error, StageFailedError | StageInterruptedError):
                self._take_links(error.pointer.result_uri, error.pointer.digest, must=False)
            raise
        self._take_links(pointer.result_uri, pointer.digest, must=True)
        return pointer.result_uri

    def _take_links(self, uri: str, digest: str, *, must: bool) -> None:
        """Read the result: a stage that ended well has one, whole. Its links are for the web UI."""
        try:
            self.links = build_addresses(load_result(uri, digest).links, self._settings.artifacts_uri)
        except AirloomError as error:
            if must:
                raise
            self.log.warning("No links are shown: %s", error)

    def _start(self, context: Context, launch: Launch) -> PodPlace:
        """Make the pod, or find that it is made already."""
        pod = self._build(context, launch)
        metadata = pod.metadata
        self._call_back("on_pod_manifest_created", context, pod_request=pod)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if (made := self._create(pod)) is not None:
                    break
                refusal: Exception = AirflowException(f"a former pod {metadata.name} does not go away")
            except ApiException as error:
                refusal = _translate(error, metadata)
                if error.status not in _AWAY:
                    raise refusal from error
            except HTTPError as error:
                refusal = AirflowException(f"the API server does not answer: {error}")
            if time.monotonic() > deadline:
                raise refusal
            time.sleep(0.5)
        place = self._find_place(made)
        self.log.info("Pod %s/%s (%s)", place.namespace, place.name, place.uid)
        self._call_back("on_pod_creation", context, pod=made)
        return place

    def _create(self, pod: V1Pod) -> V1Pod | None:
        """The pod, made now or found made by this very try; None while another has its name."""
        metadata = pod.metadata
        try:
            return self.client.create_namespaced_pod(metadata.namespace, pod)
        except ApiException as error:
            if error.status != 409:
                raise
        found = self._read(metadata.name, metadata.namespace)
        if found is None or found.metadata.deletion_timestamp is not None:
            return None
        if found.metadata.labels.get(TASK_INSTANCE_LABEL) == metadata.labels[TASK_INSTANCE_LABEL]:
            self.log.info("Pod %s is there already; going on with it.", metadata.name)
            return found
        self._delete(self._find_place(found), grace_seconds=0)
        return None

    def _find_pod(self, context: Context) -> PodPlace | None:
        """A pod that does this task's work already.

        Either an earlier try left it when its worker or triggerer died, or a stage before started it for all of them.
        What else is there of this task is deleted: its work was taken, and is to be done again.
        """
        ti = context["ti"]
        if ti.try_number < 2 and self.group[0] == self.task_id:
            return None
        selector = f"{GROUP_LABEL}={digest_group(ti.dag_id, ti.run_id)},!{JUDGED_LABEL}"
        namespace = self._cluster.find_namespace(self.pipeline.metadata.team)
        try:
            found = self.client.list_namespaced_pod(namespace, label_selector=selector).items
        except ApiException as error:
            raise AirflowException(f"the run's pods cannot be listed: {error.reason}") from error
        ours = [
            pod
            for pod in found
            if pod.metadata.deletion_timestamp is None
            and self.task_id in pod.metadata.annotations[STAGES_ANNOTATION].split()
            and pod.metadata.annotations["airloom.io/map-index"] == str(_map_index(ti))
        ]
        ours.sort(key=lambda pod: pod.metadata.creation_timestamp)
        kept = None
        if ours and ours[-1].metadata.annotations.get(_taken(self.task_id), str(ti.id)) == str(ti.id):
            kept = self._find_place(ours.pop())
            self.log.info("Pod %s is still there; going on with it.", kept.name)
        for pod in ours:
            self._delete(self._find_place(pod))
        return kept

    def _read_section(self, place: PodPlace) -> PodState | None:
        """The end of this stage in a pod that others started, where it has come already."""
        if len(self.group) == 1:
            return None
        lines: list[tuple[str, datetime]] = []
        section = Section(place.uid, self.task_id)
        position = LogPosition(lambda *line: lines.append(line), section)
        try:
            answer = self.client.read_namespaced_pod_log(
                place.name, place.namespace, container=CONTAINER, timestamps=True, _preload_content=False
            )
        except ApiException:
            return None  # it has no log yet, or is gone; whoever waits for it will know
        for line in answer.data.splitlines():
            position.take(line)
        if section.status is None:
            return None
        for text, when in lines:
            write_log(text, when)
        return PodState("ended", "", True, "exited", section.status, section.pointer, by_stage=True)

    def _build(self, context: Context, launch: Launch) -> V1Pod:
        manifest = build_pod(self._cluster, self._profile, self._request(context, launch))
        require_valid_pod(manifest, f"the profile {find_compute(self.pipeline, self.task_id)!r}")
        pod = PodGenerator.deserialize_model_dict(manifest)
        pod_mutation_hook(pod)  # type: ignore[no-untyped-call]
        return pod

    def _request(self, context: Context, launch: Launch) -> PodRequest:
        ti, profile, settings = context["ti"], self._profile, self._settings
        stage = build_stage_context(self.pipeline, self.task_id, self.earlier, settings, context)
        # Each pod is an attempt of its own, later ones higher: a lost pod may still write, and must not publish.
        attempt = _LAUNCHES_A_TRY * (stage.attempt - 1) + launch.number + 1
        stage = stage.model_copy(update={"attempt": attempt})
        stages = self._stages
        document: StageContext | StageGroup = stage
        if len(stages) > 1:
            document = StageGroup(first=stage, rest=self._build_steps(stages, settings, context))
        last = launch.losses and launch.losses >= profile.infrastructure_losses
        return PodRequest(
            team=stage.team,
            pipeline=stage.pipeline,
            stage=stage.stage,
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=_map_index(ti),
            try_number=ti.try_number,
            task_instance=str(ti.id),
            arguments=("fused",) if len(stages) > 1 else (stage.stage, "--pointer", TERMINATION_LOG),
            environ={**build_pod_environ(stage, settings), CONTEXT_VARIABLE: document.to_json().decode()},
            stages=stages,
            launch=launch.number,
            memory=launch.memory,
            capacity="on-demand" if last and profile.capacity == "spot" else None,
        )

    def _build_steps(self, stages: tuple[str, ...], settings: Settings, context: Context) -> tuple[StageStep, ...]:
        """What the stages after the first are told. Each is taken to be in its first try."""
        earlier = [*self.earlier]
        steps = []
        for before, stage in itertools.pairwise(stages):
            earlier.append(before)
            inputs = {name: published_result_uri(self.pipeline, name, settings, context["run_id"]) for name in earlier}
            task_instance: Any = context["ti"]
            parent = find_lineage_parent(task_instance.model_copy(update={"task_id": stage, "try_number": 1}))
            steps.append(StageStep(stage=stage, inputs=inputs, lineage_parent=parent))
        return tuple(steps)

    def _connect(self) -> None:
        """Read the installation, and tell KubernetesPodOperator's hook of its cluster; comes before all else."""
        self._settings: Settings = load_settings()
        assert self._settings.cluster_file is not None
        self._cluster: Cluster = load_cluster(self._settings.cluster_file)
        self._profile: Profile = self._cluster.profile(find_compute(self.pipeline, self.task_id))
        connection = self._cluster.connection
        self.config_file, self.cluster_context = connection.kubeconfig, connection.context
        self.deferrable = self._cluster.deferrable
        self.in_cluster = connection.kubeconfig is None
        self.callbacks = [_load_class(path) for path in self._cluster.callbacks]

    def _find_place(self, pod: V1Pod) -> PodPlace:
        metadata = pod.metadata
        return PodPlace(self._cluster.connection, metadata.namespace, metadata.name, metadata.uid)

    def _read(self, name: str, namespace: str) -> V1Pod | None:
        try:
            return self.client.read_namespaced_pod(name, namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise AirflowException(f"pod {name} cannot be read: {error.reason}") from error

    def _delete(self, place: PodPlace, grace_seconds: int | None = None) -> None:
        """Exactly this pod. What cannot be deleted now is the janitor's."""
        body: dict[str, Any] = {"preconditions": {"uid": place.uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            self.client.delete_namespaced_pod(place.name, place.namespace, body=body)
        except ApiException as error:
            if error.status not in (404, 409):
                self.log.warning("Pod %s cannot be deleted now: %s", place.name, error.reason)
        except Exception as error:
            self.log.warning("Pod %s cannot be deleted now: %s", place.name, error)

    def _mark(self, place: PodPlace, **marks: dict[str, str]) -> None:
        body = {"metadata": {"uid": place.uid, **marks}}
        try:
            self.client.patch_namespaced_pod(place.name, place.namespace, body)
        except ApiException as error:
            if error.status not in (404, 409):
                self.log.warning("Pod %s cannot be marked: %s", place.name, error.reason)

    def _call_back(self, name: str, context: Context, **more: Any) -> None:
        """KubernetesPodOperator's callbacks, deferred or not: all but `on_pod_starting` and `progress_callback`, which
        would need the worker while the pod runs."""
        for callback in self.callbacks:
            getattr(callback, name)(
                client=self.client, mode=ExecutionMode.SYNC, operator=self, context=context, **more
            )  # fmt: skip

    def _read_for_callbacks(self, place: PodPlace) -> V1Pod | None:
        """The pod as it is now; where it is gone, what identifies it. None: nobody asks."""
        if not self.callbacks:
            return None
        gone = V1Pod(metadata=V1ObjectMeta(name=place.name, namespace=place.namespace, uid=place.uid))
        return self._read(place.name, place.namespace) or gone


def build_pod_environ(stage: StageContext, settings: Settings) -> dict[str, str]:
    """What a stage in a pod is told beside its context: where servers are, whose child its lineage is.

    The cluster file's `env` goes before it: in a cluster a server may have another address.
    """
    environ = {
        "AIRLOOM_ARTIFACTS_URI": settings.artifacts_uri,
        "AIRLOOM_TRACKING_URI": settings.tracking_uri,
        "AIRLOOM_GATEWAY_URL": settings.gateway_url,
    }
    if stage.lineage_parent is not None:
        environ["OPENLINEAGE_CONTEXT"] = build_openlineage_context(stage.lineage_parent)
    if stage.trace_parent is not None:
        environ["TRACEPARENT"] = stage.trace_parent
    return environ


def build_openlineage_context(parent: LineageParent) -> str:
    """The parent run in the form that OpenLineage's integrations (dbt, Spark) read from `OPENLINEAGE_CONTEXT`."""
    own = {"run": {"runId": parent.run_id}, "job": {"namespace": parent.namespace, "name": parent.name}}
    root = {
        "run": {"runId": parent.root_run_id or parent.run_id},
        "job": {
            "namespace": parent.root_namespace or parent.namespace,
            "name": parent.root_name or parent.name,
        },
    }
    return json.dumps({"parent": {**own, "root": root}})


def _taken(stage: str) -> str:
    """Annotation of a shared pod: which try of the stage took its answer."""
    return f"airloom.io/taken-{stage}"


def _map_index(task_instance: Any) -> int:
    return -1 if task_instance.map_index is None else int(task_instance.map_index)


def _load_class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _translate(error: ApiException, metadata: Any) -> Exception:
    """The API server refused the pod: for good where it is not a pod or may not be one, else for now."""
    words = error.reason
    with contextlib.suppress(TypeError, ValueError, KeyError):
        words = json.loads(error.body)["message"]
    told = f"pod {metadata.name} was refused in namespace {metadata.namespace}: {words}"
    if error.status in (400, 403, 404, 422) and "quota" not in words:
        return AirflowFailException(told)
    return AirflowException(told)
