"""What a pipeline says without effect, though each part of it is valid. Pure; `loader` asks, and says where it stands.

Only what the pipeline's own file says is told: defaults are for many pipelines, and need not do something for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from airloom.spec.complaints import Complaint
from airloom.spec.pipeline import Pipeline
from airloom.spec.plan import uses_champion


def find_idle(pipeline: Pipeline) -> Iterator[Complaint]:
    """A complaint for each key whose value changes nothing."""
    spec, notify = pipeline.spec, pipeline.spec.notify
    if not notify.model_fields_set:  # most pipelines; it is asked on every parse
        return
    timed = any(options.deadline_seconds is not None for options in spec.airflow.dags.values())
    for event, happens, remedy in (
        ("refusal", spec.data.expectations or spec.test or spec.gates, "add data.expectations, test or gates"),
        ("breach", spec.monitor, "add monitor"),
        ("promotion", uses_champion(pipeline), "add promote, deploy, score or monitor"),
        ("late", timed, "give a deadline_seconds under airflow.dags"),
    ):
        if getattr(notify, event) and not happens:
            yield Complaint(("spec", "notify", event), f"calls nobody, as it never happens here; {remedy}", True)
