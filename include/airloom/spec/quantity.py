"""Kubernetes quantities, as the cluster file has them, and as numbers. Pure.

Source: Kubernetes' API reference, Quantity; without exponents, which nobody writes, and in a file without the largest
units, for which no pod asks.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import StringConstraints

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
"""A Kubernetes quantity, such as `500m`, `2` or `4Gi`."""

_UNITS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{name: Decimal(1000**power) for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": Decimal(1024**power) for power, name in enumerate("KMGTPE", 1)},
}


def parse_quantity(quantity: str) -> Decimal:
    """A quantity as a number: bytes, or processors.

    Errors:
        KeyError: its unit is none of those above.
    """
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    assert match is not None
    return Decimal(match[1]) * _UNITS[match[2]]
