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

    "starting", "draining", "service-failed" (`service`, `times` in a row), "layer-down",
    "layer-deaf", "clock-off" (`server`, `ahead` in seconds) and "files-exhausted".
    """
    found: list[dict[str, Any]] = []
    if hub.draining:
        found.append({"problem": "draining"})
    elif not hub.cluster.heard or hub.serving.starting:
        found.append({"problem": "starting"})
    found += [
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

    They should not where it starts or takes none, where a service of it fails again and again, or
    where it is deaf: the layer takes what it sends, and it hears nothing. A layer that does not
    answer is no reason: that is so for all hubs, as far as one can tell, and clients of one hub
    are served without.
    """
    return not any(_is_grave(problem) for problem in problems(hub))


def _is_grave(problem: dict[str, Any]) -> bool:
    if problem["problem"] == "service-failed":
        return bool(problem["times"] >= TOO_OFTEN)
    return problem["problem"] in ("starting", "draining", "layer-deaf")
