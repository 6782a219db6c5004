"""What befell each client, to be told where something is wrong."""

from __future__ import annotations

import time
from collections import deque

from tests.recovery.chaos.model import Fault

LINES = 20_000

# Seconds that are told before what was wrong.
BEFORE = 15.0


class Story:
    """What befell one client, and when."""

    def __init__(self) -> None:
        self._lines: deque[tuple[float, str]] = deque(maxlen=LINES)

    def tell(self, what: str) -> None:
        """Add a line."""
        self._lines.append((time.monotonic(), what))

    def around(
        self, at: float, until: float, before: float = BEFORE, hears: str = "hears nothing"
    ) -> list[str]:
        """Return what befell it around a time; what it hears is counted, but for `hears`."""
        lines = []
        others = 0
        for when, told in self._lines:
            if not at - before < when < until:
                continue
            if told.startswith("hears") and not told.startswith(hears):
                others += 1
                continue
            if others:
                lines.append(f"           (hears {others})")
                others = 0
            lines.append(f"  {when - at:+8.3f} {told}")
        return [*lines, ""]


def tell_fault(fault: Fault, story: Story) -> list[str]:
    """Return what befell a client around a fault, and when it heard what."""
    emit = fault.emit
    heard = [at for at, number in fault.session.arrivals if number == emit.number]
    until = max([emit.ended or emit.began, *heard]) + 5
    title = f"{fault.client} as {fault.session.sid}: {fault.kind} {emit}"
    if fault.session.away:
        title += ", and did not come back to that session"
    return [title, *story.around(emit.began or min(heard), until, hears=f"hears {emit.number} ")]
