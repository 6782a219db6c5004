"""What is wrong with a hub at the moment, for readiness and for the admin."""

from __future__ import annotations

from typing import Any

from .interfaces import Hub

# A service that failed so often in a row does not work.
TOO_OFTEN = 3


def problems(hub: Hub) -> list[dict[str, Any]]:
    """
    Return what is wrong, each a dict with its word as "problem", and what it is about. Any thread
    may ask.

    "service-failed" (`service`, `times` in a row), "layer-down", "clock-off" (`server`, `ahead` in
    seconds) and "files-exhausted".
    """
    found: list[dict[str, Any]] = [
        {"problem": "service-failed", "service": name, "times": fault.times}
        for name, fault in hub.services.faults().items()
    ]
    found += hub.cluster.problems()
    if hub.files.exhausted:
        found.append({"problem": "files-exhausted"})
    return found


def is_ready(hub: Hub) -> bool:
    """
    Tell whether new clients should be sent to a hub.

    They should not where it is being closed, or a service of it fails again and again. A layer that
    is down is no reason: it is down for all hubs, and clients of one hub are served without.
    """
    return not hub.closing and not any(
        fault.times >= TOO_OFTEN for fault in hub.services.faults().values()
    )
