"""Whether Airflow takes a schedule: asked of croniter, the library that Airflow itself asks. `pipeline` uses it.

So a cron that Airflow would refuse, and show as its own error without file or line, is a finding like any other. A cron
that never comes, which Airflow takes and its scheduler then stumbles over, is one too.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

_PRESETS = {"@quarterly": "0 0 1 */3 *"}  # Airflow's own; the others are croniter's too
_FIELDS = 6  # with seconds
_RANDOM = re.compile(r"(?<![A-Za-z])R(?![A-Za-z])")
_SOME_DAY = datetime(2024, 1, 1)  # any will do: croniter looks fifty years ahead


@functools.cache  # most pipelines have one of a few
def check_cron(text: str) -> str:
    """The cron itself.

    Errors:
        ValueError: it is none, names a day that never comes, or years, or a random time.
    """
    if len(text.split()) > _FIELDS or _RANDOM.search(text):
        raise ValueError(
            f"given {text!r}; leave out the field of years, since Airflow stops once they are over, and R, which is "
            "another time at each look: Airloom takes neither"
        )
    from croniter import CroniterBadCronError, CroniterBadDateError, croniter  # only where a pipeline has a schedule

    try:
        croniter(_PRESETS.get(text, text), _SOME_DAY).get_next(datetime)
    except CroniterBadDateError as error:
        raise ValueError(f"given {text!r}, a day that never comes; check day and month") from error
    except (CroniterBadCronError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"given {text!r}, which is no cron ({error}); give minute, hour, day, month and weekday, such as "
            "'0 6 * * 1', or @hourly, @daily, @weekly, @monthly, @quarterly, @yearly"
        ) from error
    return text


def list_next(cron: str, after: datetime, count: int) -> list[datetime]:
    """The next times of a cron.

    Args:
        cron: as `check_cron` takes it.
        after: in the cron's time zone.
    """
    from croniter import croniter

    times = croniter(_PRESETS.get(cron, cron), after)
    return [times.get_next(datetime) for _ in range(count)]


Cron = Annotated[str, AfterValidator(check_cron)]
"""A cron expression or preset that Airflow takes."""
