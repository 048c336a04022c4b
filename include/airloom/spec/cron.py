"""Whether Airflow takes a schedule: asked of croniter, the library that Airflow itself asks. `pipeline` uses it.

So a cron that Airflow would refuse, and show as its own error without file or line, is a finding like any other. A cron
that never comes, which Airflow takes and its scheduler then stumbles over, is one too.
"""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

_PRESETS = {"@quarterly": "0 0 1 */3 *"}  # Airflow's own; the others are croniter's too
_SOME_DAY = datetime(2024, 1, 1)  # any will do: croniter looks fifty years ahead


@functools.cache  # most pipelines have one of a few
def check_cron(text: str) -> str:
    """The cron itself.

    Errors:
        ValueError: it is none, or names a day that never comes.
    """
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


Cron = Annotated[str, AfterValidator(check_cron)]
"""A cron expression or preset that Airflow takes."""
