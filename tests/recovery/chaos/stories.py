"""What befell each client, to be told where something is wrong."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable

from tests.recovery.chaos.model import Fault

LINES = 20_000

# Seconds that are told before what was wrong, of them those in which all is told that was heard,
# and those behind it.
BEFORE = 15.0
NEAR = 1.0
AFTER = 12.0

NOTHING = "hears nothing"


class Story:
    """What befell one client, and when."""

    def __init__(self) -> None:
        self._lines: deque[tuple[float, str]] = deque(maxlen=LINES)

    def tell(self, what: str) -> None:
        """Add a line."""
        self._lines.append((time.monotonic(), what))

    def find(self, start: str) -> list[str]:
        """Return the lines that begin with a text."""
        return [told for _, told in self._lines if told.startswith(start)]

    def around(
        self, at: float, until: float, before: float = BEFORE, hears: str = NOTHING
    ) -> list[str]:
        """
        Return what befell it around a time; what it hears is counted, but for `hears`, and what
        comes near that.
        """
        lines = []
        others = 0
        for when, told in self._lines:
            if not at - before < when < until:
                continue
            is_near = at - NEAR < when < until and hears != NOTHING
            if told.startswith("hears") and not (told.startswith(hears) or is_near):
                others += 1
                continue
            if others:
                lines.append(f"           (hears {others})")
                others = 0
            lines.append(f"  {when - at:+8.3f} {told}")
        return [*lines, ""]


def tell_fault(fault: Fault, story: Story, stories: Iterable[Story]) -> list[str]:
    """Return what befell a client around a fault, when it heard what, and who else did."""
    emit = fault.emit
    heard = [at for at, number in fault.session.arrivals if number == emit.number]
    until = max([emit.ended or emit.began, *heard]) + AFTER
    title = f"{fault.client} as {fault.session.sid}: {fault.kind} {emit}"
    if fault.session.away:
        title += ", and did not come back to that session"
    places = Counter(line for each in stories for line in each.find(f"hears {emit.number} "))
    lines = [f"  {count} clients: {line}" for line, count in places.items()]
    return [
        title,
        *lines,
        *story.around(emit.began or min(heard), until, hears=f"hears {emit.number} "),
    ]
