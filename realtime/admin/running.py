"""Doing an operation with a selection, in the whole cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from asgiref.sync import async_to_sync

from ..sending.unreachable import raising
from .counting import Number

if TYPE_CHECKING:
    from realtime.sending.plain_calls import Pending

    from .operations import Operation
    from .selection import Selection

# How long all servers may take to confirm.
CONFIRM_TIME = 10.0


class Outcome(NamedTuple):
    """
    With how many sockets an operation was carried out, and whether all servers have `confirmed`
    that.
    """

    number: Number
    confirmed: bool


def run(operation: Operation, selection: Selection, data: dict[str, Any]) -> Outcome:
    """
    Carry an operation out on all that was selected, and wait until it is in effect.

    Raises UnknownNamespace, NotRunning and LayerUnavailable.
    """
    parts = selection.parts()
    before = operation.measure(selection, data)
    with raising():  # staff are told what was done
        pending = [operation.act(part, data) for part in parts]
        confirmed = not pending or _wait(pending[-1])
    return Outcome(operation.done(before, operation.measure(selection, data)), confirmed)


def _wait(last: Pending) -> bool:
    """Wait until the last of several calls is in effect, and so all are; tell if that came."""

    async def wait() -> None:
        async with asyncio.timeout(CONFIRM_TIME):
            await last

    try:
        async_to_sync(wait)()
    except TimeoutError:
        return False
    return True
