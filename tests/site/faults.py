"""Consumers that raise what tests ask for, wherever they ask for it."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from django.dispatch import receiver

from realtime import EventError, NamespaceConsumer, event
from realtime.signals import room_joined

logger = logging.getLogger("realtime.faults")


def fail(how: str) -> None:
    """Raise what this name says."""
    if how == "exit":
        sys.exit(1)
    if how == "cancel":
        raise asyncio.CancelledError
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "generator exit":
        raise GeneratorExit
    if how == "group":
        raise BaseExceptionGroup("several", [SystemExit(1), KeyboardInterrupt()])
    if how == "recursion":
        fail(how)
    if how == "unsendable":
        raise EventError("no", object())
    if how != "nothing":
        raise RuntimeError(how)


class FaultsConsumer(NamespaceConsumer):
    """The namespace "/faults", which does not override `receive`."""

    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["leave"] = auth.get("leave", "nothing")
        fail(auth.get("fail", "nothing"))

    async def disconnect(self, reason: str) -> None:
        logger.info("faults left sid=%s", self.sid)
        fail(self.data["leave"])

    @event
    async def raises(self, how: str) -> None:
        fail(how)

    @event("raises later")
    async def raises_later(self, how: str) -> None:
        await asyncio.sleep(0)
        fail(how)

    @event("raises in a thread")
    def raises_in_a_thread(self, how: str) -> None:
        fail(how)

    @event("asks")
    async def asks(self, how: str) -> None:
        def callback() -> None:
            fail(how)

        self.emit("question", callback=callback)

    @event
    async def joins(self, how: str) -> str:
        """Join a room whose signal's receivers raise what its name says."""
        self.join(how)
        return "joined"

    @event("for members", room="members")
    async def for_members(self) -> None:
        """Do nothing, for nobody."""

    @event
    async def last(self) -> str:
        return "pong"


@receiver(room_joined, sender=FaultsConsumer)
def fail_in_a_thread(room: str, **arguments: Any) -> None:
    """Fail as a receiver of a signal."""
    fail(room)


@receiver(room_joined, sender=FaultsConsumer)
async def fail_on_the_loop(room: str, **arguments: Any) -> None:
    """Fail as another one."""
    await asyncio.sleep(0)
    fail(room)


class BrokenConsumer(NamespaceConsumer):
    """The namespaces "/broken/...": it cannot be made."""

    def __init__(self, **initkwargs: Any) -> None:
        super().__init__(**initkwargs)
        fail("made")
