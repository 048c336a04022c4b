"""What the end of a stage's pod means. Pure: state, launches, profile → the stage's answer, another pod, or a failure.

`stage_pod` calls it, and does what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airloom.errors import AirloomError, PermanentError, TransientError
from airloom.protocol.launch import StageFailedError, StageInterruptedError, read_exit
from airloom.protocol.result import ResultPointer
from airloom.spec.cluster import Profile
from airloom_airflow.pods.pod import raise_memory
from airloom_airflow.pods.state import PERMANENT_ENDINGS, PodState


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


@dataclass(frozen=True)
class Verdict:
    """Exactly one of `pointer` without an error, `relaunch` and `error`.

    Attributes:
        pointer: to the stage's result. With an error: to what the failed stage wrote, if anything.
        relaunch: another pod is to be started within the try, for `reason`.
        error: permanent or transient, as its class says.
    """

    pointer: ResultPointer | None = None
    relaunch: Launch | None = None
    reason: str = ""
    error: AirloomError | None = None


def build_verdict(stage: str, compute: str, profile: Profile, state: PodState, launch: Launch) -> Verdict:
    """
    Args:
        stage: the task's.
        compute: the profile's name, for the words of an error.
        state: of a pod that has ended or was given up.
        launch: what the try has been through.
    """
    if state.ending == "exited":
        return _read_exit(stage, state)
    if state.ending == "lost":
        return _read_loss(profile, state, launch)
    if state.ending == "out-of-memory":
        return _read_memory(compute, profile, state, launch)
    if state.ending == "refused":
        return Verdict(error=PermanentError(f"the pod cannot start: {state.message}"))
    if state.ending in PERMANENT_ENDINGS:
        return Verdict(error=PermanentError(state.message))
    return Verdict(error=TransientError(f"the pod was given up: {state.message}"))


def is_kept(state: PodState) -> bool:
    """Whether a failed pod may be left for a look: its container has ended, and will never start again."""
    return state.phase == "ended" and state.ending not in ("lost", "overdue")


def _read_exit(stage: str, state: PodState) -> Verdict:
    status = state.exit_code or 0
    try:
        # A container's status above 128 is a signal's number; a process's is its negative.
        pointer = read_exit(stage, 128 - status if status > 128 else status, state.message, "(see above)")
    except (StageFailedError, StageInterruptedError) as error:
        return Verdict(pointer=error.pointer, error=error)
    except AirloomError as error:
        return Verdict(error=error)
    return Verdict(pointer=pointer)


def _read_loss(profile: Profile, state: PodState, launch: Launch) -> Verdict:
    losses = launch.losses + 1
    if launch.losses >= profile.infrastructure_losses:
        return Verdict(
            error=TransientError(
                f"the pod was lost {losses} times, which is more than the profile's infrastructure_losses "
                f"({profile.infrastructure_losses}); the last: {state.message}"
            )
        )
    return Verdict(
        relaunch=replace(launch, number=launch.number + 1, losses=losses),
        reason=f"Infrastructure loss {losses} of {profile.infrastructure_losses}: {state.message}. The stage is "
        "started again; no retry is used up.",
    )


def _read_memory(compute: str, profile: Profile, state: PodState, launch: Launch) -> Verdict:
    memory = raise_memory(profile, launch.memory or profile.memory)
    if memory is None:
        return Verdict(
            error=PermanentError(
                f"{state.message}. Give the profile {compute!r} more memory, or a memory_max up to which "
                "it may be raised."
            )
        )
    return Verdict(
        relaunch=replace(launch, number=launch.number + 1, memory=memory),
        reason=f"{state.message}. It is started again with {memory} bytes.",
    )
