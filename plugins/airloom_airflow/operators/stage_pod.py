"""A stage as a pod: KubernetesPodOperator with Airloom's way of waiting, judging and starting again.

`dag_factory` builds it where the installation's runtime is Kubernetes; a hand-written DAG may too. What stock
KubernetesPodOperator does by asking the API server every second or two (10 to 17 s for a trivial stage) is done here by
one watch for all pods, in the triggerer; the stage's answer comes by the pod's termination message, without a sidecar.

A pod's name is made of the installation, the task and its try, so the API server itself sees to it that a try has one
pod at a time: whoever starts it a second time finds it there, and goes on with it. Pods are waited for and deleted by
uid. Beside it lie what it asks the cluster (`pod_client`) and for (`pod_request`), with which pod of before a try goes
on (`earlier_pods`), what became of the stage in it (`pod_answer`) and means (`pod_verdict`), how the try parts from it
(`pod_holder`), and the user's own callbacks (`pod_callbacks`).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from kubernetes.client import V1Pod  # type: ignore[import-untyped]

from airloom.errors import AirloomError, ConfigError, TransientError
from airloom.protocol.result import StageResult
from airloom.settings import Settings, load_settings
from airloom.spec.cluster import Cluster, Limits, Profile, load_cluster
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import find_compute
from airloom_airflow import metrics
from airloom_airflow.operators.artifact_link import STAGE_LINKS, build_addresses
from airloom_airflow.operators.earlier_pods import find_pods, list_tasks, was_cleared
from airloom_airflow.operators.failures import translated_for_airflow
from airloom_airflow.operators.pod_answer import PodAnswer
from airloom_airflow.operators.pod_callbacks import PodCallbacks
from airloom_airflow.operators.pod_client import PodClient, QuotaExceededError, open_api
from airloom_airflow.operators.pod_holder import PodHolder
from airloom_airflow.operators.pod_request import StageTask, build_request
from airloom_airflow.operators.pod_verdict import Launch, Verdict, build_verdict
from airloom_airflow.operators.stage_name import find_stage, require_shared_prefix
from airloom_airflow.operators.stage_result import UnreadResultError, load_result, wait_for_result
from airloom_airflow.operators.time_limits import bound_running
from airloom_airflow.pods.connection import build_hook_arguments
from airloom_airflow.pods.pod import (
    HOLDER_ANNOTATION,
    MAX_TRIES_ANNOTATION,
    SECRET_GATE,
    TASK_INSTANCE_LABEL,
    build_pod,
    build_selector,
)
from airloom_airflow.pods.schema import require_valid_pod
from airloom_airflow.pods.state import PodState
from airloom_airflow.public_names import AirflowException
from airloom_airflow.speedups.pod_mutation import pod_mutation_hook
from airloom_airflow.stage_secrets import keep_masked, load_secrets, mask_secrets
from airloom_airflow.triggers.pod_watch import PodPlace, follow_pod
from airloom_airflow.triggers.stage_pod import StagePodTrigger, dump_place, load_place, write_log

if TYPE_CHECKING:
    from airflow.sdk import Context

_QUOTA_SECONDS = 15.0
"""How long to wait before a pod for which the quota had no room is asked for again."""


class StagePodOperator(KubernetesPodOperator):
    """Run one stage in a pod.

    Args:
        pipeline: the resolved pipeline file.
        stage: its name; left out, the last part of `task_id`.
        task_id: left out, the stage's name.
        earlier: the stages before this one in the run.
        group: the stages that share a pod (`execution: fused`), in their order. The first that finds none starts it,
            for itself and those after it; it runs them without waiting for their tasks, which find their answers there.
        kwargs: Airflow's own, those of BaseOperator. KubernetesPodOperator's are refused: its pod is made from the
            cluster file's profile.

    The task's value (XCom) is the URI of the stage's result document. A permanent failure fails the task at once, a
    transient one is retried. A lost pod is started again within the try, as often as the profile says.

    Errors:
        ConfigError: an argument of KubernetesPodOperator was given; there is no such stage.
    """

    template_fields = ()
    ui_color = "#e8f4f2"

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        stage: str | None = None,
        earlier: tuple[str, ...] = (),
        group: tuple[str, ...] = (),
        task_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        if ignored := _pod_arguments().intersection(kwargs):
            raise ConfigError(
                f"StagePodOperator {task_id or stage!r} was given {', '.join(sorted(ignored))}, which it "
                "would ignore. Its pod is made from a profile of the cluster file (AIRLOOM_CLUSTER_FILE), which the "
                "pipeline file names by `compute`; what no profile has is given there by podTemplate."
            )
        self.stage = find_stage(stage, task_id)
        require_shared_prefix(self.stage, task_id or self.stage, group)
        super().__init__(task_id=task_id or self.stage, kubernetes_conn_id=None, **kwargs)
        self.on_success_callback = [_part_from_pod, *self.on_success_callback]
        self.do_xcom_push = True  # of the task's value; KubernetesPodOperator means its sidecar, which is never made
        self.pipeline = pipeline
        self.earlier = earlier
        self.group = group or (self.stage,)
        self.operator_extra_links = STAGE_LINKS.get(self.stage, ())
        self.links: dict[str, str] = {}
        self._place: PodPlace | None = None
        self._making: V1Pod | None = None
        self._in_pod = self.group

    def execute(self, context: Context) -> str:
        """Start the pod, or find it running, and wait for it; returns the result's URI.

        Errors:
            AirflowFailException: a permanent failure: of the stage, its image, its profile, its memory.
            AirflowException: a transient one.
        """
        with translated_for_airflow():
            self._connect(context)
            return self._run(context, Launch(), self._find_pod(context))

    def resume(self, context: Context, event: Mapping[str, Any]) -> str:
        """The trigger saw the pod's end."""
        with translated_for_airflow():
            place, launch = load_place(event["place"]), Launch(**event["launch"])
            self._connect(context)
            self._place = place
            pod = self._callbacks.read_pod(place, self._pods.read_model)
            self._callbacks.call("on_operator_resuming", context, pod=pod, event=event)
            answer = self._finish(context, place, PodState(**event["state"]), launch)
            return self._run(context, answer) if isinstance(answer, Launch) else answer

    def start_again(self, context: Context, launch: Mapping[str, Any], refused_at: float, **_: Any) -> str:
        """A pod for which the quota had no room is asked for again."""
        with translated_for_airflow():
            self._connect(context)
            return self._run(context, Launch(**launch), refused_at=refused_at)

    def on_kill(self) -> None:
        """Killed while it holds a worker: its pod goes, one in the making too. Deferred, the trigger sees to it.

        A pod that a later try goes on with stays: this worker has stalled, and Airflow has long given it up.
        """
        self._killed = True
        if self._place is not None:
            self._holder.delete(self._place)
        elif self._making is not None:  # it may have come into being, though nobody has told us yet
            metadata = self._making.metadata
            label = f"{TASK_INSTANCE_LABEL}={metadata.labels[TASK_INSTANCE_LABEL]}"
            for pod in self._pods.list(metadata.namespace, f"{build_selector(self._settings.installation)},{label}"):
                self._pods.delete(self._pods.find_place(pod))

    def part_from_pod(self, context: Context) -> None:
        """The task has succeeded: its pod goes, where Airflow has heard of it, and no other stage runs on in it, or has
        its answer there."""
        if self._place is None or not self._holder.is_heard():
            return
        pod = self._callbacks.read_pod(self._place, self._pods.read_model)
        if len(self._stages) == 1:
            self._holder.delete(self._place, grace_seconds=0)
        self._callbacks.call("on_pod_cleanup", context, pod=pod)

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> V1Pod:
        """The pod of a try that had none before."""
        assert context is not None
        self._load()
        return self._build(context, Launch())

    @cached_property
    def hook(self) -> KubernetesHook:
        """Of the cluster that the stage's profile names."""
        return KubernetesHook(**build_hook_arguments(self._cluster.connection))

    def _run(
        self, context: Context, launch: Launch, place: PodPlace | None = None, refused_at: float | None = None
    ) -> str:
        while True:
            state = None
            if place is None:
                try:
                    place = self._start(context, launch)
                except QuotaExceededError as error:
                    refused_at = self._wait_for_quota(error, launch, refused_at)
                    continue
            elif self._shared:
                state = self._answer(place).read_section(write_log)
            self._place, refused_at = place, None
            limits = self._limits
            if state is None and self.deferrable:
                self.defer(
                    trigger=StagePodTrigger(
                        place=dump_place(place),
                        limits=limits.model_dump(mode="json"),
                        launch=asdict(launch),
                        stage=self.stage,
                        shared=self._shared,
                        secrets=[secret.model_dump(exclude_unset=True) for secret in self._secrets],
                    ),
                    method_name="resume",
                )
            if state is None:
                keep_masked(self._secrets)
                state = asyncio.run(follow_pod(place, limits, write_log, self.stage, shared=self._shared))
            answer = self._finish(context, place, state, launch)
            if not isinstance(answer, Launch):
                return answer
            launch, place, self._place = answer, None, None

    @property
    def _stages(self) -> tuple[str, ...]:
        """What a pod that this task starts runs."""
        return self.group[self.group.index(self.stage) :]

    def _finish(self, context: Context, place: PodPlace, state: PodState, launch: Launch) -> str | Launch:
        """The pod has ended: the result's URI, another launch, or an error. It goes at once, but for a success: that
        one's goes in `part_from_pod`."""
        if self._killed:
            self._holder.delete(place)
            raise AirflowException("the task was ended from outside")
        pod = self._callbacks.read_pod(place, self._pods.read_model)
        failed, unread = True, False
        try:
            self._callbacks.call("on_pod_completion", context, pod=pod)
            state = self._answer(place).confirm(state, self._limits, write_log)
            answer = self._accept(build_verdict(self.stage, self._compute, self._profile, state, launch))
            failed = isinstance(answer, Launch)
            return answer
        except UnreadResultError:
            unread = True
            self.log.warning("Pod %s stays: its stage has ended, and a retry reads what it answered.", place.name)
            raise
        finally:
            try:
                self._callbacks.call("on_pod_teardown", context, pod=pod)
            finally:
                if failed and not unread:
                    self._holder.leave_failed(place, state)
            if failed:
                self._callbacks.call("on_pod_cleanup", context, pod=pod)

    def _accept(self, verdict: Verdict) -> str | Launch:
        """Do what a verdict says; a stage that ended well has a whole result. Its links are for the web UI."""
        if verdict.relaunch is not None:
            self.log.warning("%s", verdict.reason)
            tags = {"namespace": self._cluster.namespace, "stage": self.stage}
            metrics.count("airloom.pod.relaunches", **tags)
            if verdict.relaunch.memory is not None:
                metrics.count("airloom.pod.memory_raises", **tags)
            return verdict.relaunch
        if verdict.error is None:
            assert verdict.pointer is not None
            seconds = self._settings.store_seconds
            self._keep_links(wait_for_result(verdict.pointer.result_uri, verdict.pointer.digest, self.log, seconds))
            return verdict.pointer.result_uri
        if verdict.pointer is not None and self.operator_extra_links:
            try:
                self._keep_links(load_result(verdict.pointer.result_uri, verdict.pointer.digest))
            except AirloomError as error:
                self.log.warning("No links are shown: %s", error)
        raise verdict.error

    def _keep_links(self, result: StageResult) -> None:
        self.links = build_addresses(result.links, self._settings.artifacts_uri)

    def _start(self, context: Context, launch: Launch) -> PodPlace:
        """Make the pod, or find that it is made already."""
        secrets = load_secrets(self._secrets)
        pod = self._build(context, launch)
        self._callbacks.call("on_pod_manifest_created", context, pod_request=pod)
        self._making = pod
        try:
            made = self._pods.create(pod)
        finally:
            self._making = None
        self._place = place = self._pods.find_place(made)
        self._in_pod = self._stages  # the last of a group that has lost its pod is alone in its own
        if self._killed:
            self._pods.delete(place)
            raise AirflowException("the task was ended from outside")
        self.log.info("Pod %s/%s (%s)", place.namespace, place.name, place.uid)
        if _is_held(made):
            self._pods.give_secret(made, secrets)
        self._callbacks.call("on_pod_creation", context, pod=made)
        return place

    def _wait_for_quota(self, error: QuotaExceededError, launch: Launch, refused_at: float | None) -> float:
        """The pod waits as one that Kueue holds: no retry is used up, and no worker held where tasks defer.

        Returns:
            When the quota first refused it; seconds since 1970.
        """
        refused_at = refused_at or time.time()
        limit = self._profile.limits.queueing_seconds
        if time.time() - refused_at > limit:
            raise TransientError(
                f"queueing took longer than {limit:g} s (limits.queueing_seconds of the profile): {error}"
            )
        self.log.info("%s. The pod waits for room.", error)
        if self.deferrable:
            self.defer(
                trigger=TimeDeltaTrigger(timedelta(seconds=_QUOTA_SECONDS)),
                method_name="start_again",
                kwargs={"launch": asdict(launch), "refused_at": refused_at},
            )
        time.sleep(_QUOTA_SECONDS)
        return refused_at

    def _find_pod(self, context: Context) -> PodPlace | None:
        """A pod that does this task's work already, held for this try from now on.

        What else is there of this task goes: an earlier try's failure, or work that was cleared, to be done again.

        Errors:
            UnavailableError: the API server is away. ConfigError: it refuses.
        """
        ti = context["ti"]
        if ti.try_number < 2 and self.group[0] == self.stage:
            return None
        ours = find_pods(self._pods, self._cluster.namespace, self._settings.installation, ti)
        last = ours[-1] if ours else None
        goes_on = last and not _is_held(last) and not was_cleared(last, self.stage, ti.max_tries)
        found = last if goes_on else None
        for pod in ours:
            if pod is not found:
                self._pods.delete(self._pods.find_place(pod))
        if found is None:
            return None
        place, self._in_pod = self._pods.find_place(found), list_tasks(found)
        if ti.try_number > 1 and (failure := self._answer(place).find_failure(self._limits)):
            words = failure.message or f"exit code {failure.exit_code}"
            self.log.warning("Pod %s of an earlier try failed, and this one starts anew: %s", place.name, words)
            self._holder.clear_away(place, failure)
            return None
        self.log.info("Pod %s is still there; going on with it.", place.name)
        holder = {HOLDER_ANNOTATION: str(ti.id), MAX_TRIES_ANNOTATION: str(ti.max_tries)}
        self._pods.hold(place, {name + self.stage: value for name, value in holder.items()})
        return place

    def _answer(self, place: PodPlace) -> PodAnswer:
        """The stage's, in a pod."""
        return PodAnswer(self._pods, place, self.stage, self._shared)

    @property
    def _shared(self) -> bool:
        """The pod runs other stages too."""
        return len(self._in_pod) > 1

    @property
    def _limits(self) -> Limits:
        """Of the pod, with all the stages that run in it."""
        return bound_running(self._profile.limits, len(self._in_pod), self.execution_timeout)

    def _build(self, context: Context, launch: Launch) -> V1Pod:
        task = StageTask(self.pipeline, self.earlier, self._stages)
        request = build_request(task, self._settings, self._profile, context, launch)
        manifest = build_pod(self._cluster, self._profile, request)
        require_valid_pod(manifest, f"the profile {self._compute!r}")
        pod = PodGenerator.deserialize_model_dict(manifest)
        pod_mutation_hook(pod)  # type: ignore[no-untyped-call]
        return pod

    def _load(self) -> None:
        """Read the installation; comes before all else."""
        self._settings: Settings = load_settings()
        if self._settings.cluster_file is None:
            raise ConfigError("a stage runs as a pod of a cluster, and AIRLOOM_CLUSTER_FILE is not set")
        self._compute = find_compute(self.pipeline, self.stage)
        self._cluster: Cluster
        self._profile: Profile
        self._cluster, self._profile = load_cluster(self._settings.cluster_file).for_stage(
            self.pipeline.metadata.team, self._compute
        )
        self._secrets = self._cluster.list_airflow_secrets(self.pipeline.metadata.team)
        self.deferrable = self._cluster.deferrable

    def _connect(self, context: Context) -> None:
        """Read the installation, and be ready to ask its cluster."""
        self._load()
        mask_secrets({**os.environ, **self._cluster.env})
        connection = self._cluster.connection
        self._pods = PodClient(functools.partial(open_api, connection), connection, self.log)
        self._holder = PodHolder(self._pods, self.stage, context["ti"], self._cluster.keep_failed_pods)
        self._callbacks = PodCallbacks(self._cluster.callbacks, self, lambda: self.client)


def _part_from_pod(context: Context) -> None:
    """Airflow calls it where a task has succeeded, after it was told so."""
    task: Any = context["ti"].task
    task.part_from_pod(context)


def _is_held(pod: V1Pod) -> bool:
    """It waits for its Secret, which whoever made it was to make, and did not: it has not begun, and never will."""
    return any(gate.name == SECRET_GATE for gate in pod.spec.scheduling_gates or ())


@functools.cache
def _pod_arguments() -> frozenset[str]:
    """KubernetesPodOperator's own arguments."""
    parameters = inspect.signature(KubernetesPodOperator.__init__).parameters.values()
    return frozenset(each.name for each in parameters if each.kind == each.KEYWORD_ONLY)
