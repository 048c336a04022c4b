"""What a ResourceQuota's refusal of a pod means: there is no room now, or there never will be. Pure.

The words are those of Kubernetes' admission plugin (release 1.35, plugin/pkg/admission/resourcequota/controller.go):
`exceeded quota: NAME, requested: a=1,b=2, used: a=0,b=3, limited: a=4,b=4`.
"""

from __future__ import annotations

import re

from airloom.spec.quantity import parse_quantity


def find_excess(said: str, *, of_zero: bool) -> str | None:
    """In words, what one pod asks for that the quota, were it empty, does not give; None: one pod fits.

    Args:
        said: the refusal.
        of_zero: whether a limit of 0 counts; it is how an administrator lets nothing start for a while.
    """
    parts = {
        name: dict(entry.split("=", 1) for entry in text.split(",") if "=" in entry)
        for name, text in re.findall(r"(requested|limited): (\S+?)(?:, |$)", said)
    }
    limited = parts.get("limited", {})
    for resource, asked in parts.get("requested", {}).items():
        if resource not in limited or (parse_quantity(limited[resource]) == 0 and not of_zero):
            continue
        if parse_quantity(asked) > parse_quantity(limited[resource]):
            return f"the quota gives {limited[resource]} of {resource} in all, and one pod asks for {asked}"
    return None
