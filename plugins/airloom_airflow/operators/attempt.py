"""Which attempt at a stage a process is, as a number: later attempts have higher ones. Operators call it.

A stage publishes its result only over those of earlier attempts (`airloom.stages.runner`), since the process of a pod
that was given up for lost may still run. So the number must grow over everything that makes Airflow start a stage
again: a retry, a clear of it or of a stage that shares its pod, another pod within a try, and a run made anew under the
id of a deleted one, which counts its tries from 1 again. Only time does.
"""

from __future__ import annotations

from datetime import UTC, datetime


def build_attempt(now: datetime | None = None) -> int:
    """The moment in UTC at which the process or its pod is made, as `YYYYMMDDhhmmsscc`: to a hundredth of a second.

    Machines whose clocks differ by more than it takes to start a stage again may refuse a later attempt's result; that
    is a transient failure, and a retry mends it.

    Args:
        now: aware; the present if not given.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return int(f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 10_000:02d}")
