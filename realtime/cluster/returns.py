"""What a hub has sent and waits for: its own clients get it when it comes back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

# Does, on this hub, what was sent; it is given the number in the log, or 0.
Do = Callable[[int], object]


class Pending:
    """Something that waits: `do` is called for it, unless it is `done`."""

    __slots__ = ("do", "done", "id", "marker", "serial")

    def __init__(self, id: str, do: Do, marker: bool, serial: int) -> None:
        self.id = id
        self.serial = serial
        self.do = do
        self.done = False
        self.marker = marker


class Returns:
    """
    What was sent, in order, until it comes back. What was `early`, done here before it came, is not
    done again.
    """

    def __init__(self) -> None:
        self.early: set[str] = set()
        self._waiting: deque[Pending] = deque()
        self._by_id: dict[str, Pending] = {}
        # How many have waited so far.
        self.count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, id: str, do: Do) -> None:
        """Do something when what was sent under an id comes back."""
        self._by_id[id] = self._append(id, do, marker=False)

    def _append(self, id: str, do: Do, *, marker: bool) -> Pending:
        self.count += 1
        pending = Pending(id, do, marker, self.count)
        self._waiting.append(pending)
        return pending

    def after(self, do: Callable[[], object]) -> None:
        """Do something when all that was sent so far has come back: at once, where it has."""
        if self._waiting:
            self._append("", lambda _: do(), marker=True)
        else:
            do()

    def returned(self, id: str, number: int) -> bool:
        """Do what waits for an id; tell whether it is done with."""
        if id in self.early:
            self.early.discard(id)
            return True
        pending = self._by_id.pop(id, None)
        if pending is None:
            return False
        pending.done = True
        try:
            pending.do(number)
        finally:
            self._advance()
        return True

    def _advance(self) -> None:
        """Do what stands behind things that are done."""
        while self._waiting and (self._waiting[0].done or self._waiting[0].marker):
            pending = self._waiting.popleft()
            if pending.marker:
                pending.do(0)

    @property
    def oldest(self) -> int:
        """Which one waits for longest, as they are counted; 0 where none does."""
        return self._waiting[0].serial if self._waiting else 0

    def settle(self, upto: int) -> None:
        """Wait no more for the first `upto`: what of them has not come back does not come."""
        while self._waiting and self._waiting[0].serial <= upto:
            pending = self._waiting[0]
            if not pending.marker:
                self._by_id.pop(pending.id, None)
                pending.done = True
            self._advance()

    def give_up(self) -> None:
        """Do now all that waits, in its order: nobody knows when it comes back."""
        while self._waiting:
            pending = self._waiting.popleft()
            if pending.marker:
                pending.do(0)
            elif not pending.done:
                self._by_id.pop(pending.id, None)
                self.early.add(pending.id)
                pending.do(0)

    async def wait(self) -> None:
        """Wait until all that was sent so far has come back."""
        if self._waiting:
            over = asyncio.get_running_loop().create_future()
            self.after(partial(_set, over))
            await over


def _set(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
