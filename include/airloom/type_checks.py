"""Run-time type checks of other people's code, left out: they cost more than the code.

Feast asks typeguard to rewrite 19 of its modules at every import, and no cache keeps the outcome: 4 of the 6 s that
`import feast` takes (Feast 0.67, typeguard 4.6, two cores). MLflow's client loads Feast too, for a plugin of its.
`python -O` leaves the checks out by design, but our own assertions with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leave_out_type_checks() -> None:
    """Make `@typeguard.typechecked` do nothing from now on; call it before Feast or MLflow's client is imported."""
    try:
        import typeguard
    except ImportError:
        return
    typeguard.typechecked = _leave


def _leave(target: Callable[..., Any] | None = None, **options: Any) -> Any:
    return _leave if target is None else target
