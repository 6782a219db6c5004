"""How many keys there may be, of one client and of all, without a count for each of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

# Keys of one client, and of all, within the window.
MOST_OF_OWNER = 10_000
MOST = 1_000_000

# After so many new keys of this process they are counted again.
STEP_OF_OWNER = 100
STEP = 1_000

# Clients whose allowance is remembered.
OWNERS = 10_000

# Counts the keys of an owner, or of all for None, up to a number.
Count = Callable[[str | None, int], int]


class Allowances:
    """
    Grants new keys.

    Each process counts what is there, and then grants some without another count, so that a few
    more may come to be where several processes do so.
    """

    def __init__(self, count: Count) -> None:
        self._count = count
        self._of_all = 0
        self._of_owner: OrderedDict[str, int] = OrderedDict()

    def take(self, owner: str) -> bool:
        """Tell whether a client may have one more key, and take it."""
        left = self._of_owner.pop(owner, 0) or self._grant(owner, MOST_OF_OWNER, STEP_OF_OWNER)
        self._of_all = self._of_all or self._grant(None, MOST, STEP)
        if not (left and self._of_all):
            return False
        self._of_all -= 1
        if left > 1:
            self._of_owner[owner] = left - 1
            if len(self._of_owner) > OWNERS:
                self._of_owner.popitem(last=False)
        return True

    def _grant(self, owner: str | None, most: int, step: int) -> int:
        return min(step, most - self._count(owner, most))
