"""What of a pipeline is Airflow's own: schedules, options of DAGs and tasks, and who is notified. Models, no I/O.

Every name is Airflow's, with the unit added where it has one. `pipeline` puts these sections into the file; the DAG
factories read them. A stage does not.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, field_validator, model_validator

from airloom.spec.cron import Cron
from airloom.spec.section import MAX_INTEGER, DottedPath, Seconds, Section

Family = Literal["train", "features", "score", "monitor", "promote", "rollback"]
"""The DAG families, in the order in which they are shown."""
FAMILIES: tuple[Family, ...] = get_args(Family)

TaskName = Literal[
    "ingest",
    "validate",
    "features",
    "train",
    "evaluate",
    "test",
    "gate",
    "register",
    "promote",
    "rollback",
    "deploy",
    "score",
    "monitor",
    "drift",
]
"""Every task that a pipeline's DAGs can have: the stages, and `drift`, which asks for a retraining."""

AssetName = Annotated[str, StringConstraints(min_length=1, max_length=1500)]
"""As Airflow takes names and URIs of assets and aliases."""

_START_YEARS = range(1900, 3000)
"""Of `start_date`: around the years 1 and 9999 Airflow's arithmetic of time zones and crons overflows."""


class Schedule(Section):
    """When a DAG starts: by cron, by updates of others' assets, or by either."""

    cron: Cron | None = None
    """Cron expression or preset such as `@daily`, in `airflow.timezone`."""
    assets: tuple[AssetName, ...] = ()
    """Others' assets that start the DAG, each by its URI (`s3://lake/flights`) or by its name (`flights`)."""
    aliases: tuple[AssetName, ...] = ()
    """Asset aliases that start the DAG: an update of any asset that was added to one of them counts."""
    when: Literal["any", "all"] = "any"
    """`any`: each update of one of them starts a run. `all`: a run starts once all of them were updated."""

    @model_validator(mode="after")
    def _starts_something(self) -> Self:
        if not (self.cron or self.assets or self.aliases):
            raise ValueError("a schedule needs cron, assets or aliases; leave the schedule out to start by hand")
        return self


class TaskOptions(Section):
    """Airflow's options of a task."""

    pool: str | None = Field(default=None, min_length=1, max_length=256)
    """Airflow pool that the task takes a slot of. It must exist in Airflow."""
    priority_weight: int | None = Field(default=None, ge=-MAX_INTEGER, le=MAX_INTEGER)
    """Higher goes first where tasks wait for slots."""
    queue: str | None = Field(default=None, min_length=1, max_length=256)
    """Queue of the workers that take the task (CeleryExecutor)."""
    executor: str | None = Field(default=None, min_length=1, max_length=1000)
    """One of the installation's executors, by its name or alias."""
    execution_timeout_seconds: Seconds | None = Field(default=None, gt=0)
    """A try that takes longer fails. Of a stage in a pod the time counts that it runs there."""


class DagOptions(Section):
    """Airflow's options of one family's DAG."""

    max_active_runs: int = Field(default=1, ge=1, le=MAX_INTEGER)
    """How many runs may be under way at once."""
    catchup: bool = False
    """Make up for the cron times between `airflow.start_date` and now."""
    deadline_seconds: Seconds | None = Field(default=None, gt=0)
    """A run that is not done so long after it was queued is late: `notify.late` is called. The run goes on."""


_DEFAULTS = DagOptions()


class Airflow(Section):
    """Airflow's own options of this pipeline's DAGs and tasks."""

    timezone: str = "UTC"
    """IANA time zone of every cron and of `start_date`, such as `Europe/Vienna`."""
    start_date: str | None = None
    """ISO 8601 date or time before which no cron time counts. `catchup` needs it."""
    default_args: TaskOptions = TaskOptions()
    """Options of every task that names none of its own under `tasks`."""
    tasks: dict[TaskName, TaskOptions] = Field(default_factory=dict)
    """Options by task (the stage's name); what is left out is that of `default_args`."""
    dags: dict[Family, DagOptions] = Field(default_factory=dict)
    """Options by DAG family."""

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, given: str) -> str:
        try:
            _ = UTC if given == "UTC" else ZoneInfo(given)  # UTC needs no time zone data on the machine
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"given {given!r}; give a time zone of the IANA list, such as Europe/Vienna") from error
        return given

    @field_validator("start_date")
    @classmethod
    def _readable_start_date(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                year = datetime.fromisoformat(given).year
            except ValueError as error:
                raise ValueError(f"given {given!r}; give an ISO 8601 date, such as 2026-01-31") from error
            if year not in _START_YEARS:
                allowed = f"{_START_YEARS[0]} to {_START_YEARS[-1]}"
                raise ValueError(f"given {given!r}; give a date of the years {allowed}, such as 2026-01-31")
        return given

    @model_validator(mode="after")
    def _catches_up_by_what_it_can(self) -> Self:
        caught = [family for family, options in self.dags.items() if options.catchup]
        if caught and self.start_date is None:
            raise ValueError(f"catchup of {', '.join(caught)} needs start_date: say since when")
        if "monitor" in caught:
            raise ValueError(
                "monitor takes no catchup: a past window's breach would start a training of today. Judge the past by "
                "`airflow backfill create`, which starts none"
            )
        return self

    @property
    def started_at(self) -> datetime | None:
        """`start_date` with its time zone."""
        if self.start_date is None:
            return None
        moment = datetime.fromisoformat(self.start_date)
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.timezone))

    def find_dag_options(self, family: Family) -> DagOptions:
        """The family's options, or the defaults."""
        return self.dags.get(family) or _DEFAULTS

    def find_task_options(self, task: str) -> TaskOptions:
        """The task's options over those of every task."""
        own = self.tasks.get(task)  # type: ignore[call-overload]
        if own is None:
            return self.default_args
        return self.default_args.model_copy(update=own.model_dump(exclude_none=True))


class Notifier(Section):
    """One of Airflow's notifiers, called with the task's context."""

    notifier: DottedPath
    """Its class, such as `airflow.providers.smtp.notifications.smtp.SmtpNotifier`; loaded only when it is called,
    where the task runs (a late run's, in the triggerer)."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Its arguments. Where the notifier renders templates, `airloom` is in them: its `event`, `pipeline`, `stage`,
    `reason`, `model_version`, `metrics` and `result_uri`."""


Notifiers = tuple[Notifier, ...]


class Notify(Section):
    """Who hears of what becomes of the pipeline, by Airflow's notifiers. Each one that is listed is called."""

    failure: Notifiers = ()
    """A task failed for good: its retries, if any, are used up."""
    refusal: Notifiers | None = None
    """A validation, test or gate said no to the data or the model. Left out: those of `failure`."""
    breach: Notifiers = ()
    """The monitor found drift or a performance beyond its limits."""
    promotion: Notifiers = ()
    """A version became champion, by promotion or by rollback."""
    late: Notifiers = ()
    """A run has passed its `deadline_seconds`. There is no task: templates know `airloom`, `dag_run` and `deadline`."""
