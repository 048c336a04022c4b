"""What Airloom raises, as Airflow's errors: a permanent one fails the task at once, a transient one is retried.

Operators and sensors call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airloom.errors import AirloomError, PermanentError
from airloom_airflow.public_names import AirflowException, AirflowFailException


@contextmanager
def translated_for_airflow() -> Iterator[None]:
    """Raise what the block raises of Airloom's own as AirflowFailException or AirflowException, with its words."""
    try:
        yield
    except AirloomError as error:
        raised = AirflowFailException if isinstance(error, PermanentError) else AirflowException
        raise raised(str(error)) from error
