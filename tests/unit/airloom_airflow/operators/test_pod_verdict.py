"""What the end of a stage's pod means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airloom.errors import PermanentError, TransientError
from airloom.spec.cluster import Profile
from airloom_airflow.operators.pod_verdict import Launch, Verdict, build_verdict, is_kept
from airloom_airflow.pods.state import PodState

FIRST = Launch()
PROFILE = Profile(memory="1Gi", memory_max="3Gi", infrastructure_losses=2)


def pointer(status: str = "succeeded", family: str | None = None) -> str:
    return json.dumps(
        {
            "protocol": "1",
            "result_uri": "s3://b/result.json",
            "digest": "sha256:00",
            "status": status,
            "family": family,
            "message": "" if family is None else "it failed so",
        }
    )


def ended(ending: Any, code: int | None = None, message: str = "words", phase: Any = "ended") -> PodState:
    return PodState(phase, "", True, ending, code, message)


def verdict(state: PodState, launch: Launch = FIRST, profile: Profile = PROFILE) -> Verdict:
    return build_verdict("train", "gpu-large", profile, state, launch)


def test_a_stage_that_exits_well_with_a_whole_pointer_has_succeeded() -> None:
    answer = verdict(ended("exited", 0, pointer()))
    assert answer.error is None
    assert answer.relaunch is None
    assert answer.pointer is not None
    assert answer.pointer.result_uri == "s3://b/result.json"


@pytest.mark.parametrize(
    ("code", "message", "family", "words"),
    [
        (0, "", TransientError, "no whole pointer"),
        (0, pointer()[:40], TransientError, "no whole pointer"),
        (0, pointer("failed", "permanent"), TransientError, "contradicts itself"),
        (65, pointer("failed", "permanent"), PermanentError, "it failed so"),
        (65, "", PermanentError, "no whole pointer"),
        (75, pointer("failed", "transient"), TransientError, "it failed so"),
        (1, "", TransientError, "was lost"),
        (137, "", TransientError, "SIGKILL"),
        (143, pointer(), TransientError, "SIGTERM"),
    ],
)
def test_nothing_else_is_success(code: int, message: str, family: type[Exception], words: str) -> None:
    answer = verdict(ended("exited", code, message))
    assert isinstance(answer.error, family)
    assert words in str(answer.error)
    assert answer.relaunch is None


def test_a_lost_pod_is_started_again_from_a_budget_of_its_own() -> None:
    first = verdict(ended("lost", message="node gone")).relaunch
    assert first == Launch(number=1, losses=1)
    assert first is not None
    second = verdict(ended("lost"), first).relaunch
    assert second == Launch(number=2, losses=2)
    assert second is not None
    beyond = verdict(ended("lost", message="node gone"), second)
    assert isinstance(beyond.error, TransientError)
    assert "lost 3 times" in str(beyond.error)
    assert "node gone" in str(beyond.error)


def test_memory_is_raised_to_its_cap_and_then_fails_for_good() -> None:
    first = verdict(ended("out-of-memory")).relaunch
    assert first is not None
    assert (first.number, first.losses, first.memory) == (1, 0, str(2 << 30))
    second = verdict(ended("out-of-memory"), first).relaunch
    assert second is not None
    assert second.memory == str(3 << 30)
    end = verdict(ended("out-of-memory", message="OOMKilled"), second)
    assert isinstance(end.error, PermanentError)
    assert "memory_max" in str(end.error)
    assert "'gpu-large'" in str(end.error)


def test_without_a_cap_memory_is_not_raised() -> None:
    answer = verdict(ended("out-of-memory"), profile=Profile(memory="1Gi"))
    assert isinstance(answer.error, PermanentError)


@pytest.mark.parametrize(
    ("ending", "family"),
    [
        ("refused", PermanentError),
        ("out-of-disk", PermanentError),
        ("unprepared", PermanentError),
        ("overdue", TransientError),
        (None, TransientError),
    ],
)
def test_other_ends(ending: str | None, family: type[Exception]) -> None:
    answer = verdict(ended(ending, message="kubernetes' words"))
    assert isinstance(answer.error, family)
    assert "kubernetes' words" in str(answer.error)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (ended("exited", 65), True),
        (ended("out-of-memory", 137), True),
        (ended("out-of-disk"), True),
        (ended("lost"), False),
        (ended("overdue"), False),
        (ended("overdue", phase="queueing"), False),
        (ended("overdue", phase="pulling"), False),
        (ended("refused", phase="pulling"), False),
    ],
)
def test_only_a_pod_that_never_starts_again_is_kept_for_a_look(state: PodState, kept: bool) -> None:
    assert is_kept(state) is kept
