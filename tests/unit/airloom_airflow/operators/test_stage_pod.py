"""The operator as a whole, against an API server: in a worker and deferred, and what it makes of each end."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import TaskDeferred
from tests.fakes.kubernetes_api import KubernetesApi, Request, stamp
from tests.unit.airloom_airflow.pipelines import FULL, write_pipeline
from tests.unit.airloom_airflow.triggers.pods import ended, running
from tests.waiting import wait_until

from airloom.errors import ConfigError
from airloom.protocol.result import ResultPointer, StageResult
from airloom.protocol.section import begin_line, end_line
from airloom.spec import Pipeline, load_pipeline
from airloom_airflow.operators import pod_request, stage_context, stage_pod
from airloom_airflow.operators.pod_client import PodClient
from airloom_airflow.operators.stage_pod import StagePodOperator
from airloom_airflow.pods.pod import KEPT_LABEL, STAGES_ANNOTATION
from airloom_airflow.pods.state import PodState
from airloom_airflow.public_names import AirflowException, AirflowFailException
from airloom_airflow.speedups.task_states import RuntimeTaskInstance

GROUP = ("ingest", "validate", "train")


def is_create(request: Request) -> bool:
    return request.method == "POST"


def is_read(request: Request) -> bool:
    return request.method == "GET" and not request.path.endswith(("/pods", "/log"))


def is_log(request: Request) -> bool:
    return request.path.endswith("/log")


def is_delete(request: Request) -> bool:
    return request.method == "DELETE"


def is_patch(request: Request) -> bool:
    return request.method == "PATCH"


class Kubelet:
    """Says what becomes of each pod that is made, in a thread of its own: one step a pod, in their order."""

    def __init__(self, api: KubernetesApi, steps: list[Callable[[dict[str, Any]], None]]) -> None:
        self.made: list[dict[str, Any]] = []
        self._api, self._steps = api, steps
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Kubelet:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            for name in self._api.names:
                pod = self._api.find(name)
                if pod and pod["spec"].get("schedulingGates"):
                    continue
                if pod and pod["metadata"]["uid"] not in [each["metadata"]["uid"] for each in self.made]:
                    self.made.append(pod)
                    if self._steps:
                        self._steps.pop(0)(pod)


class ToldOperator(StagePodOperator):
    """As Airflow's task runner has it: where it has told Airflow of a success, it calls the task's callbacks."""

    def resume(self, context: Any, event: Any) -> str:
        return self.call_back(context, super().resume(context, event))

    def call_back(self, context: Any, value: str) -> str:
        context["ti"].task = self
        for callback in self.on_success_callback:
            callback(context)
        return value


class Installation:
    """A cluster file, a pipeline and a place for results.

    Attributes:
        heard: how Airflow has the task that ends well, or nothing where it cannot be asked.
    """

    def __init__(
        self,
        api: KubernetesApi,
        kubeconfig: Path,
        folder: Path,
        pipeline: Pipeline,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.api, self.pipeline, self._patch = api, pipeline, monkeypatch
        self.file, self.artifacts = folder / "cluster.yaml", folder / "artifacts"
        self.document: dict[str, Any] = {
            "connection": {"kubeconfig": str(kubeconfig)},
            "namespace": "ops",
            "images": {"cpu": "registry.local/stage:1"},
            "deferrable": False,
        }
        self.heard: str | None = "success"
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(self._get_task_states))
        self.configure()

    def _get_task_states(self, *, run_ids: list[str], task_ids: list[str], **query: Any) -> dict[str, Any]:
        if self.heard is None:
            raise ConnectionError("the execution API does not answer")
        return {run: dict.fromkeys(task_ids, self.heard) for run in run_ids}

    def configure(self, profile: dict[str, Any] | None = None, **more: Any) -> None:
        self.document.update(more, profiles={"cpu-small": profile or {}})
        document = {"apiVersion": "airloom.io/v1", "kind": "Cluster", "spec": self.document}
        self.file.write_text(yaml.safe_dump(document))

    def make(self, stage: str = "train", group: tuple[str, ...] = (), task_id: str | None = None) -> ToldOperator:
        earlier = GROUP[: GROUP.index(stage)]
        return ToldOperator(task_id=task_id, stage=stage, pipeline=self.pipeline, earlier=earlier, group=group)

    def wait_for_store(self, seconds: float) -> None:
        """How long the object store may be away."""
        self._patch.setenv("AIRLOOM_STORE_SECONDS", str(seconds))

    def write_result(self, stage: str = "train") -> str:
        """A stage's result; gives its pointer's JSON."""
        result = StageResult(
            team="ops", pipeline="whole", stage=stage, run_id="r", attempt=1, status="succeeded", started_at="",
            ended_at="",
        )  # fmt: skip
        path = self.artifacts / f"{stage}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(result.to_json())
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        return ResultPointer(result_uri=path.as_uri(), digest=digest, status="succeeded").to_short_json().decode()

    def succeed(self, stage: str = "train") -> Callable[[dict[str, Any]], None]:
        """A kubelet's step: the stage ends well."""
        return self.end(0, self.write_result(stage))

    def end(self, code: int, message: str = "", **more: Any) -> Callable[[dict[str, Any]], None]:
        """A kubelet's step: the container ends so."""
        status = {**ended(code, message), **more}
        return lambda pod: self.set_status(pod, status)

    def lose(self, pod: dict[str, Any]) -> None:
        """A kubelet's step: the node turns the pod out."""
        self.set_status(pod, {"phase": "Failed", "reason": "Evicted", "message": "the node is short of memory"})

    def kill_for_memory(self, pod: dict[str, Any]) -> None:
        """A kubelet's step."""
        status = ended(137)
        status["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
        self.set_status(pod, status)

    def set_status(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        self.api.write_log(pod["metadata"]["name"], [stamp("a line")], end="containerStatuses" in status)
        self.api.change(pod["metadata"]["name"], status=status)


@pytest.fixture
def here(
    api: KubernetesApi, kubeconfig: Path, tmp_path: Path, pipelines: Path, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    for module in (stage_context, pod_request):
        monkeypatch.setattr(module, "find_lineage_parent", lambda _: None)
    monkeypatch.setattr(stage_pod, "PodClient", functools.partial(PodClient, away_seconds=3.0))
    pipeline = load_pipeline(write_pipeline(pipelines, "whole", text=FULL), root=pipelines)
    installation = Installation(api, kubeconfig, tmp_path, pipeline, monkeypatch)
    monkeypatch.setenv("AIRLOOM_CLUSTER_FILE", str(installation.file))
    return installation


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is put into the task's log."""
    written: list[str] = []
    monkeypatch.setattr(stage_pod, "write_log", lambda line, when: written.append(line))
    return written


def build_context(stage: str = "train", try_number: int = 1, task_instance: str = "018f-1", max_tries: int = 2) -> Any:
    run = SimpleNamespace(dag_id="ops__whole__train", run_type="manual", conf={}, data_interval_end=None)
    values = {"dag_id": run.dag_id, "run_id": "r", "task_id": stage, "map_index": -1, "try_number": try_number}
    ti = SimpleNamespace(**values, id=task_instance, max_tries=max_tries)
    ti.model_copy = lambda update: SimpleNamespace(**{**values, **update})
    return {"run_id": "r", "dag_run": run, "ti": ti}


def execute(operator: ToldOperator, **context: Any) -> str:
    built = build_context(operator.task_id, **context)
    return operator.call_back(built, operator.execute.__wrapped__(operator, built))


def defer(operator: ToldOperator, **context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        execute(operator, **context)
    return deferred.value


def build_event(deferred: TaskDeferred, **state: Any) -> dict[str, Any]:
    """The trigger's, of a stage that wrote its end."""
    fields = vars(PodState("ended", "", True, "exited", 0, by_stage=True)) | state
    return {"state": fields, "place": deferred.trigger.place, "launch": deferred.trigger.launch}


def test_a_stage_that_ends_well_gives_its_result_and_leaves_no_pod(here, api):
    with Kubelet(api, [here.succeed()]):
        assert execute(here.make()) == (here.artifacts / "train.json").as_uri()
    assert api.names == []


@pytest.mark.parametrize("task_id", ["fit_it", "models.train", f"{'models.' * 12}train"])
def test_a_task_in_a_group_or_with_an_id_of_its_own_runs_its_stage(here, api, task_id):
    here.configure(deferrable=True)
    deferred = defer(here.make(task_id=task_id))
    (name,) = api.names
    pod = api.find(name)
    assert pod["spec"]["containers"][0]["args"][0] == deferred.trigger.stage == "train"
    assert pod["metadata"]["annotations"][STAGES_ANNOTATION] == task_id
    again = defer(here.make(task_id=task_id), try_number=2, task_instance="018f-2")  # as if its worker had died
    assert again.trigger.place == deferred.trigger.place
    here.succeed()(pod)
    event = build_event(again, exit_code=0, message=here.write_result())
    context = build_context(task_id, try_number=2, task_instance="018f-2")
    assert here.make(task_id=task_id).resume(context, event) == (here.artifacts / "train.json").as_uri()
    assert api.names == []


def test_stages_that_share_a_pod_may_lie_in_a_task_group(here, api):
    here.configure(deferrable=True)
    place = defer(here.make("ingest", GROUP, "models.ingest")).trigger.place
    assert api.find(api.names[0])["metadata"]["annotations"][STAGES_ANNOTATION] == (
        "models.ingest models.validate models.train"
    )
    assert defer(here.make("train", GROUP, "models.train")).trigger.place == place


def test_stages_that_share_a_pod_have_no_task_ids_of_their_own(here):
    with pytest.raises(ConfigError, match="the task 'fit_it' shares a pod with the stages ingest, validate, train"):
        here.make("train", GROUP, "fit_it")


def test_deferred_too(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    (name,) = api.names
    here.succeed()(api.find(name))
    event = build_event(deferred, exit_code=0, message=here.write_result())
    assert here.make().resume(build_context(), event) == (here.artifacts / "train.json").as_uri()
    assert api.names == []


def test_exit_0_without_a_pointer_is_retried(here, api):
    with Kubelet(api, [here.end(0)]), pytest.raises(AirflowException, match="left no whole pointer") as caught:
        execute(here.make())
    assert not isinstance(caught.value, AirflowFailException)
    assert api.names == []


def test_deferred_too_exit_0_without_a_pointer_is_retried(here, api):
    here.configure(deferrable=True)
    event = build_event(defer(here.make()), by_stage=False)
    with pytest.raises(AirflowException, match="left no whole pointer") as caught:
        here.make().resume(build_context(), event)
    assert not isinstance(caught.value, AirflowFailException)
    assert api.names == []


def write_wrong_pointer(here: Installation) -> str:
    return json.dumps({**json.loads(here.write_result()), "digest": "sha256:" + "0" * 64})


WRONG_DIGEST = (
    r"the result file:///.*/train\.json does not have the digest sha256:0{64}; something else was written there"
)


def test_a_result_that_is_not_the_pointers_fails(here, api):
    with (
        Kubelet(api, [here.end(0, write_wrong_pointer(here))]),
        pytest.raises(AirflowFailException, match=WRONG_DIGEST),
    ):
        execute(here.make())
    assert api.names == []


@pytest.mark.parametrize("by_stage", [True, False])
def test_deferred_too_a_result_that_is_not_the_pointers_fails(here, api, by_stage):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    here.end(0, write_wrong_pointer(here))(api.find(api.names[0]))
    event = build_event(deferred, by_stage=by_stage, message=write_wrong_pointer(here))
    with pytest.raises(AirflowFailException, match=WRONG_DIGEST):
        here.make().resume(build_context(), event)
    assert api.names == []


def test_a_pointer_to_a_result_that_is_not_there_is_retried(here, api):
    pointer = here.write_result()
    (here.artifacts / "train.json").unlink()
    with (
        Kubelet(api, [here.end(0, pointer)]),
        pytest.raises(AirflowException, match="there is no result file") as caught,
    ):
        execute(here.make())
    assert not isinstance(caught.value, AirflowFailException)
    assert api.names == []


def test_a_pointer_that_was_cut_off_is_retried(here, api):
    pointer = here.write_result()[:40]
    with Kubelet(api, [here.end(0, pointer)]), pytest.raises(AirflowException, match="left no whole pointer") as caught:
        execute(here.make())
    assert not isinstance(caught.value, AirflowFailException)
    assert api.names == []


def test_a_lost_pod_is_started_again_within_the_try(here, api):
    here.configure({"infrastructure_losses": 1})
    with Kubelet(api, [here.lose, here.succeed()]) as kubelet:
        execute(here.make())
    assert [pod["metadata"]["name"][-4:] for pod in kubelet.made] == ["-1-0", "-1-1"]
    assert api.names == []


def test_one_lost_more_often_than_the_profile_says_is_retried(here, api):
    here.configure({"infrastructure_losses": 1})
    with Kubelet(api, [here.lose, here.lose]), pytest.raises(AirflowException, match="lost 2 times"):
        execute(here.make())
    assert api.names == []


def test_a_deferred_task_starts_a_lost_pod_again_and_defers_again(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    lost = build_event(deferred, ending="lost", exit_code=None, by_stage=False, message="gone")
    with pytest.raises(TaskDeferred) as again:
        here.make().resume(build_context(), lost)
    assert again.value.trigger.launch == {"number": 1, "losses": 1, "memory": None}
    assert [name[-4:] for name in api.names] == ["-1-1"]


def test_out_of_memory_it_gets_twice_as_much_up_to_its_cap(here, api):
    here.configure({"memory": "1Gi", "memory_max": "1500Mi"})
    with Kubelet(api, [here.kill_for_memory] * 2) as kubelet, pytest.raises(AirflowFailException, match="memory_max"):
        execute(here.make())
    limits = [pod["spec"]["containers"][0]["resources"]["limits"]["memory"] for pod in kubelet.made]
    assert limits == ["1Gi", str(1500 * 1024**2)]


def test_an_overdue_pod_is_deleted_even_where_failed_ones_are_kept(here, api):
    here.configure({"limits": {"scheduling_seconds": 0.5}}, keep_failed_pods=True)
    with pytest.raises(AirflowException, match=r"limits\.scheduling_seconds"):
        execute(here.make())
    assert api.names == []


def test_a_failed_pod_is_kept_where_the_cluster_file_says_so_and_no_retry_goes_on_with_it(here, api):
    here.configure(keep_failed_pods=True)
    with Kubelet(api, [here.end(75), here.succeed()]):
        with pytest.raises(AirflowException, match="no whole pointer"):
            execute(here.make())
        (kept,) = api.names
        assert api.find(kept)["metadata"]["labels"][KEPT_LABEL] == "true"
        execute(here.make(), try_number=2, task_instance="018f-2")
    assert api.names == [kept]


def test_a_retry_goes_on_with_the_pod_that_a_dead_worker_left(here, api):
    here.configure(deferrable=True)
    uid = defer(here.make()).trigger.place["uid"]
    assert defer(here.make(), try_number=2, task_instance="018f-2").trigger.place["uid"] == uid
    assert len(api.names) == 1


def test_two_workers_with_one_try_have_one_pod(here, api):
    here.configure(deferrable=True)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: defer(here.make()), range(2))
    assert first.trigger.place == second.trigger.place
    assert len(api.names) == 1


def test_a_run_made_anew_under_the_same_id_does_not_go_on_with_the_old_ones_pod(here, api):
    here.configure(deferrable=True)
    uid = defer(here.make()).trigger.place["uid"]
    assert defer(here.make(), task_instance="018f-anew").trigger.place["uid"] != uid
    assert len(api.names) == 1


def test_killed_while_it_makes_its_pod_a_task_leaves_none(here, api, monkeypatch):
    operator = here.make()
    create = PodClient.create

    def create_and_be_killed(client: PodClient, pod: Any) -> Any:
        made = create(client, pod)
        operator.on_kill()
        return made

    monkeypatch.setattr(PodClient, "create", create_and_be_killed)
    with pytest.raises(AirflowException, match="ended from outside"):
        execute(operator)
    assert api.names == []


def test_killed_while_it_connects_to_resume_a_task_takes_its_pod_away(here, api, monkeypatch):
    here.configure(deferrable=True)
    event = build_event(defer(here.make()), message=here.write_result())
    operator = here.make()
    find = stage_pod.load_cluster
    monkeypatch.setattr(stage_pod, "load_cluster", lambda file: operator.on_kill() or find(file))
    with pytest.raises(AirflowException, match="ended from outside"):
        operator.resume(build_context(), event)
    assert api.names == []


def test_killed_while_it_waits_a_task_takes_its_pod_away(here, api):
    operator = here.make()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(execute, operator)
        wait_until(lambda: operator._place is not None, "the pod")
        operator.on_kill()
        with pytest.raises(AirflowException, match="ended from outside"):
            waiting.result(30)
    assert api.names == []


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_an_api_server_away_while_the_pod_is_made_costs_nothing(here, api, status):
    here.configure(deferrable=True)
    api.fail(status, 3, is_create)
    defer(here.make())
    assert len(api.names) == 1


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
def test_an_api_server_away_at_the_end_and_back_keeps_the_success(here, api, status):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    api.fail(status, 3, is_read)
    here.make().resume(build_context(), build_event(deferred, message=here.write_result()))
    assert api.names == []


def test_a_gateways_page_at_the_end_costs_no_success(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    api.interpose(1, is_read)
    uri = here.make().resume(build_context(), build_event(deferred, message=here.write_result()))
    assert uri.endswith("train.json")


def test_a_retry_does_not_take_a_failed_pod_for_its_own_that_could_not_be_deleted(here, api):
    api.fail(403, 1, is_delete)
    with Kubelet(api, [here.end(75)]), pytest.raises(AirflowException, match="no whole pointer"):
        execute(here.make())
    (failed,) = api.names
    here.configure(deferrable=True)
    defer(here.make(), try_number=2, task_instance="018f-2")
    assert len(api.names) == 1
    assert failed not in api.names


def test_nor_one_that_was_given_up_and_runs_on(here, api):
    profile = {"limits": {"running_seconds": 0.5}}
    here.configure(profile)
    api.fail(403, 1, is_delete)
    with (
        Kubelet(api, [lambda pod: here.set_status(pod, running())]),
        pytest.raises(AirflowException, match=r"limits\.running_seconds"),
    ):
        execute(here.make())
    (overdue,) = api.names
    here.configure(profile, deferrable=True)
    defer(here.make(), try_number=2, task_instance="018f-2")
    assert len(api.names) == 1
    assert overdue not in api.names


def test_nor_one_whose_stage_wrote_its_failure_before_kubernetes_knows(here, api):
    here.configure(deferrable=True)
    place = defer(here.make()).trigger.place
    api.change(place["name"], status=running())
    api.write_log(place["name"], [stamp(end_line(place["uid"], "train", 75, ""))])
    assert defer(here.make(), try_number=2, task_instance="018f-2").trigger.place["uid"] != place["uid"]


def test_a_failed_pod_that_could_not_be_marked_as_kept_is_kept_by_the_retry(here, api):
    here.configure(keep_failed_pods=True)
    api.fail(403, 1, is_patch)
    with Kubelet(api, [here.end(75)]), pytest.raises(AirflowException, match="no whole pointer"):
        execute(here.make())
    (failed,) = api.names
    here.configure(keep_failed_pods=True, deferrable=True)
    place = defer(here.make(), try_number=2, task_instance="018f-2").trigger.place
    assert api.names == sorted([failed, place["name"]])
    assert api.find(failed)["metadata"]["labels"][KEPT_LABEL] == "true"


def test_a_retry_goes_on_with_a_success_that_a_dead_worker_left(here, api):
    here.configure(deferrable=True)
    place = defer(here.make()).trigger.place
    here.succeed()(api.find(place["name"]))
    again = defer(here.make(), try_number=2, task_instance="018f-2")
    assert again.trigger.place == place


def test_a_result_that_cannot_be_read_for_long_is_read_by_a_retry_and_not_made_again(here, api, bucket, s3_server):
    pointer = here.write_result()
    document = (here.artifacts / "train.json").read_bytes()
    s3_server.client.put_object(Bucket=bucket, Key="train.json", Body=document)
    uri = f"s3://{bucket}/train.json"
    pointer = json.dumps({**json.loads(pointer), "result_uri": uri})
    here.wait_for_store(1)
    with Kubelet(api, [here.end(0, pointer)]) as kubelet:
        with s3_server.away(), pytest.raises(AirflowException, match="AIRLOOM_STORE_SECONDS") as caught:
            execute(here.make())
        assert not isinstance(caught.value, AirflowFailException)
        assert execute(here.make(), try_number=2, task_instance="018f-2") == uri
    assert len(kubelet.made) == 1
    assert api.names == []


def test_a_failures_links_do_not_wait_for_a_store_that_is_away(here, api, bucket, s3_server):
    pointer = ResultPointer(
        result_uri=f"s3://{bucket}/train.json", digest="sha256:0", status="failed", family="transient", message="so"
    ).to_short_json()
    here.wait_for_store(3600)
    with (
        Kubelet(api, [here.end(75, pointer.decode())]),
        s3_server.away(),
        pytest.raises(AirflowException, match=r"^so$"),
    ):
        execute(here.make())
    assert api.names == []


def test_an_api_server_that_stays_away_at_the_end_does_not_cost_a_success_that_the_stage_wrote(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    api.fail(503, 1000)
    uri = here.make().resume(build_context(), build_event(deferred, message=here.write_result()))
    assert uri.endswith("train.json")


def test_a_pod_that_goes_after_its_stage_wrote_a_success_is_not_run_again(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    api.remove(api.names[0])
    here.make().resume(build_context(), build_event(deferred, message=here.write_result()))
    assert api.names == []


@pytest.mark.parametrize("heard", ["running", None])
def test_a_success_of_which_airflow_did_not_hear_is_not_worked_out_again(here, api, heard):
    """The worker is killed before Airflow has the state, or Airflow is away then."""
    here.configure(deferrable=True)
    first = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    event = build_event(first, message=here.write_result())
    here.heard = heard
    uri = here.make().resume(build_context(), event)
    again = defer(here.make(), try_number=2, task_instance="018f-2")
    assert again.trigger.place == first.trigger.place
    here.heard = "success"
    context = build_context(try_number=2, task_instance="018f-2")
    assert here.make().resume(context, {**event, "launch": again.trigger.launch}) == uri
    assert api.names == []


def test_a_success_of_which_airflow_did_not_hear_is_worked_out_again_where_it_was_cleared(here, api):
    here.configure(deferrable=True)
    first = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    here.heard = "running"
    here.make().resume(build_context(), build_event(first, message=here.write_result()))
    again = defer(here.make(), try_number=2, task_instance="018f-2", max_tries=4)
    assert again.trigger.place["uid"] != first.trigger.place["uid"]
    assert len(api.names) == 1


@pytest.mark.parametrize("end", [{"message": "{}"}, {"exit_code": 75, "ending": "exited"}, {"ending": "overdue"}])
def test_a_stalled_worker_that_comes_back_leaves_the_pod_to_the_try_that_goes_on_with_it(here, api, end):
    here.configure(deferrable=True)
    first = defer(here.make())
    api.change(api.names[0], status=running())
    again = defer(here.make(), try_number=2, task_instance="018f-2")
    with pytest.raises(AirflowException):
        here.make().resume(build_context(), build_event(first, **end, by_stage=False))
    assert api.names == [again.trigger.place["name"]]


def test_a_stalled_worker_with_a_success_leaves_the_pod_to_the_try_that_goes_on_with_it(here, api):
    here.configure(deferrable=True)
    first = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    again = defer(here.make(), try_number=2, task_instance="018f-2")
    here.make().resume(build_context(), build_event(first, message=here.write_result()))
    assert api.names == [again.trigger.place["name"]]


def test_the_users_own_callbacks_of_a_success_come_after(here):
    called: list[Any] = []
    operator = StagePodOperator(stage="train", pipeline=here.pipeline, on_success_callback=called.append)
    assert operator.on_success_callback[-1] == called.append
    assert len(operator.on_success_callback) == 2


def test_resumed_twice_a_success_stays_one(here, api):
    here.configure(deferrable=True)
    deferred = defer(here.make())
    here.succeed()(api.find(api.names[0]))
    event = build_event(deferred, message=here.write_result())
    assert here.make().resume(build_context(), event) == here.make().resume(build_context(), event)
    assert api.names == []


FULL_QUOTA = 'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5'


@pytest.mark.parametrize("said", [FULL_QUOTA, FULL_QUOTA.replace("=5", "=0")])
def test_a_pod_that_the_quota_has_no_room_for_waits_without_a_worker(here, api, said):
    """Also where it lets nothing start: an administrator's way to halt a namespace for a while."""
    here.configure(deferrable=True)
    api.fail(403, 1, is_create, said)
    deferred = defer(here.make())
    assert deferred.method_name == "start_again"
    with pytest.raises(TaskDeferred) as again:
        here.make().start_again(build_context(), event=None, **deferred.kwargs)
    assert again.value.method_name == "resume"
    assert len(api.names) == 1


def test_one_that_waits_longer_for_the_quota_than_its_profile_says_is_retried(here, api):
    here.configure({"limits": {"queueing_seconds": 0.001}}, deferrable=True)
    api.fail(403, 2, is_create, FULL_QUOTA)
    deferred = defer(here.make())
    with pytest.raises(AirflowException, match=r"limits\.queueing_seconds"):
        here.make().start_again(build_context(), event=None, **deferred.kwargs)


def test_one_that_would_not_fit_into_the_quota_if_it_were_empty_fails_at_once(here, api):
    here.configure(deferrable=True)
    said = "exceeded quota: team, requested: limits.memory=2Gi, used: limits.memory=0, limited: limits.memory=1Gi"
    api.fail(403, 1, is_create, f'pods "x" is forbidden: {said}')
    with pytest.raises(AirflowFailException, match=r"gives 1Gi of limits\.memory in all, and one pod asks for 2Gi"):
        execute(here.make())


def test_a_pod_that_is_larger_than_its_teams_quota_in_the_cluster_file_is_not_asked_for(here, api):
    here.configure(
        {"memory": "4Gi"}, teams={"ops": {"namespace": "ops", "quota": {"memory": "2Gi"}}}, namespace="x-{team}"
    )
    with pytest.raises(AirflowFailException, match=r"asks for memory: 4Gi, and spec\.teams\.ops\.quota"):
        execute(here.make())
    assert api.requests == []


@pytest.mark.parametrize("argument", ["image", "namespace", "get_logs", "on_finish_action"])
def test_an_argument_that_would_be_ignored_is_refused(here, argument):
    with pytest.raises(ConfigError, match=f"{argument}, which it would ignore"):
        StagePodOperator(task_id="train", pipeline=here.pipeline, **{argument: "x"})


def test_a_fused_group_has_one_pod_until_its_last_stage(here, api):
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    (name,) = api.names
    uid = first.trigger.place["uid"]
    for stage in GROUP:
        pointer = here.write_result(stage)
        api.write_log(name, [stamp(begin_line(uid, stage)), stamp(end_line(uid, stage, 0, pointer))])
        execute(here.make(stage, GROUP), task_instance=f"018f-{stage}") if stage != "ingest" else here.make(
            stage, GROUP
        ).resume(build_context(stage), build_event(first, message=pointer))
        assert api.names == ([] if stage == "train" else [name])
    assert api.names == []


def test_a_groups_last_stage_in_a_pod_of_its_own_is_logged(here, api, lines):
    with Kubelet(api, [here.succeed()]):
        execute(here.make("train", GROUP))
    assert lines == ["a line"]


def test_a_group_whose_pod_is_lost_in_the_middle_goes_on_from_there(here, api):
    here.configure(deferrable=True)
    place = defer(here.make("ingest", GROUP)).trigger.place
    deferred = defer(here.make("validate", GROUP))
    assert deferred.trigger.place == place
    api.remove(place["name"])
    with pytest.raises(TaskDeferred):
        here.make("validate", GROUP).resume(
            build_context("validate"), build_event(deferred, ending="lost", by_stage=False)
        )
    (name,) = api.names
    assert api.find(name)["metadata"]["annotations"]["airloom.io/stages"] == "validate train"


def test_a_cleared_stage_whose_work_was_accepted_is_run_again(here, api):
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    here.make("ingest", GROUP).resume(build_context("ingest"), build_event(first, message=here.write_result("ingest")))
    again = defer(here.make("ingest", GROUP), try_number=2, task_instance="018f-2", max_tries=4)
    assert again.trigger.place["uid"] != first.trigger.place["uid"]
    assert len(api.names) == 1


def test_a_group_stages_success_stands_though_its_pod_can_no_longer_be_touched(here, api):
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    api.fail(503, 1000)
    event = build_event(first, message=here.write_result("ingest"))
    assert here.make("ingest", GROUP).resume(build_context("ingest"), event).endswith("ingest.json")


def end_group(here: Installation, api: KubernetesApi, name: str) -> None:
    """A group's stages end well, and their pod with them."""
    uid = api.find(name)["metadata"]["uid"]
    for stage in GROUP:
        marks = begin_line(uid, stage), end_line(uid, stage, 0, here.write_result(stage))
        api.write_log(name, [stamp(mark) for mark in marks])
    api.write_log(name, [], end=True)
    api.change(name, status=ended(0))


def test_a_groups_answer_is_read_though_the_api_server_is_busy_when_their_pod_ends(here, api):
    def end(pod: dict[str, Any]) -> None:
        api.fail(429, 4, is_log)
        end_group(here, api, pod["metadata"]["name"])

    with Kubelet(api, [end]):
        assert execute(here.make("ingest", GROUP)).endswith("ingest.json")


@pytest.mark.parametrize("seen", ["exited", "out-of-memory"])
def test_a_groups_answer_that_was_not_read_in_the_triggerer_is_read_in_the_worker(here, api, seen):
    """Of the group's first stage; a later one's end was seen meanwhile."""
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    end_group(here, api, first.trigger.place["name"])
    api.fail(503, 2, is_log)
    event = build_event(first, ending=seen, by_stage=False)
    assert here.make("ingest", GROUP).resume(build_context("ingest"), event).endswith("ingest.json")
    assert api.names == [first.trigger.place["name"]]


def test_a_groups_answer_that_cannot_be_read_for_long_is_read_by_a_retry(here, api):
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    end_group(here, api, first.trigger.place["name"])
    event = build_event(first, by_stage=False)
    api.away = True
    with pytest.raises(AirflowException, match="the stage's answer lies in its pod's log"):
        here.make("ingest", GROUP).resume(build_context("ingest"), event)
    api.away = False
    assert execute(here.make("ingest", GROUP), try_number=2, task_instance="018f-2").endswith("ingest.json")
    assert api.names == [first.trigger.place["name"]]


def test_a_groups_answer_that_went_with_its_node_is_worked_out_again_within_the_try(here, api):
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    end_group(here, api, first.trigger.place["name"])
    api.fail(502, 1000, is_log)
    with pytest.raises(TaskDeferred) as again:
        here.make("ingest", GROUP).resume(build_context("ingest"), build_event(first, by_stage=False))
    assert again.value.trigger.launch["losses"] == 1
    assert api.names == [again.value.trigger.place["name"]]


@pytest.mark.parametrize("stage", ["ingest", "validate"])
def test_killed_after_its_success_a_groups_stage_is_not_run_again_and_the_pod_runs_on(here, api, lines, stage):
    """The API server was away meanwhile, or Airflow did not hear of the success."""
    place = run_group_to(here, api, stage)
    again = execute(here.make(stage, GROUP), try_number=2, task_instance="018f-2")
    assert again.endswith(f"{stage}.json")
    assert api.find(place["name"])["metadata"]["uid"] == place["uid"]


@pytest.mark.parametrize("stage", ["ingest", "validate"])
def test_cleared_after_its_success_a_groups_stage_is_run_again(here, api, stage):
    """Whatever could be marked at its end."""
    place = run_group_to(here, api, stage)
    api.fail(403, 1000, is_patch)
    again = defer(here.make(stage, GROUP), try_number=2, task_instance="018f-2", max_tries=4)
    assert again.trigger.place["uid"] != place["uid"]


def run_group_to(here: Installation, api: KubernetesApi, last: str) -> dict[str, Any]:
    """A group's stages succeed up to one; gives the pod's place."""
    here.configure(deferrable=True)
    first = defer(here.make("ingest", GROUP))
    place = first.trigger.place
    for stage in GROUP[: GROUP.index(last) + 1]:
        pointer = here.write_result(stage)
        marks = begin_line(place["uid"], stage), end_line(place["uid"], stage, 0, pointer)
        api.write_log(place["name"], [stamp(mark) for mark in marks])
        if stage == "ingest":
            here.make(stage, GROUP).resume(build_context(stage), build_event(first, message=pointer))
        else:
            execute(here.make(stage, GROUP), task_instance=f"018f-{stage}")
    return place


def test_a_group_stage_that_cannot_say_that_it_waits_is_retried_and_the_pod_runs_on(here, api):
    here.configure(deferrable=True)
    place = defer(here.make("ingest", GROUP)).trigger.place
    api.fail(503, 1000, is_patch)
    with pytest.raises(AirflowException, match="was away") as caught:
        execute(here.make("validate", GROUP))
    assert not isinstance(caught.value, AirflowFailException)
    assert api.find(place["name"])["metadata"]["uid"] == place["uid"]


def test_a_groups_pod_may_run_as_long_as_all_its_stages(here, api):
    here.configure({"limits": {"running_seconds": 100}}, deferrable=True)
    place = defer(here.make("ingest", GROUP)).trigger.place
    deferred = defer(here.make("train", GROUP))
    assert deferred.trigger.place == place
    assert deferred.trigger.limits["running_seconds"] == 300


def test_a_stalled_worker_that_is_killed_leaves_the_pod_to_the_try_that_goes_on_with_it(here, api):
    old = here.make()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(execute, old)
        wait_until(lambda: old._place is not None, "the first try's pod")
        here.configure(deferrable=True)
        place = defer(here.make(), try_number=2, task_instance="018f-2").trigger.place
        assert place["uid"] == old._place.uid
        old.on_kill()
        assert api.names == [place["name"]]
        api.remove(place["name"], place["namespace"])  # lets the first try's thread end
        with pytest.raises(AirflowException):
            waiting.result(30)


def test_a_cleared_task_starts_its_stage_anew_though_its_pod_still_lives(here, api):
    here.configure(deferrable=True)
    first = defer(here.make()).trigger.place
    second = defer(here.make(), try_number=2, task_instance="018f-2", max_tries=4).trigger.place
    assert second["uid"] != first["uid"]
    assert api.names == [second["name"]]
