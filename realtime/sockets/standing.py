"""What a socket's client may, asked again while it is here; and what follows from the answer."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import Any

from ..authority.decisions import Decision, decide
from ..exceptions import ConnectionRefused
from ..execution.calls import call_apart
from ..identity import outages
from .delivery import CONNECTED
from .membership import Membership

# In the place of a user who is the same as before.
SAME: Any = object()

# Seconds that hooks have: one that is asked for an answer, and one that tells the client goodbye.
ANSWER_TIME, GOODBYE_TIME = 10.0, 1.0


class Standing(Membership):
    """The side of a socket on which it is asked again what its client may."""

    __slots__ = ()

    @abstractmethod
    async def wait_let_in(self) -> None:
        """Wait until `connect()` has ended."""

    @abstractmethod
    def close(self, refusal: ConnectionRefused | None = None) -> None:
        """Tell the client that the server disconnects it from this namespace, and perhaps why."""

    @property
    def is_asked_itself(self) -> bool:
        """Whether hooks of the site's own say what its client may."""
        return self.consumer._has_own("has_permission") or bool(self.guarded_rooms())

    @property
    def declares(self) -> bool:
        """Whether its class says who may be in its namespace."""
        return self.consumer.login_required or self.consumer._asks_permission()

    @property
    def has_hooks(self) -> bool:
        """Whether hooks of the site's own are told what follows."""
        return self.consumer._has_own("user_changed") or self.consumer._has_own("unauthorized")

    async def ask_again(self) -> Decision | None:
        """
        Return what the client may now; None where that cannot be told: what a hook raises is
        logged, and the client stays as it is until it is asked for again.

        Raises the database's error where that does not answer.
        """
        if self.gone:
            return None
        try:
            async with asyncio.timeout(ANSWER_TIME):
                return await decide(self.consumer, self.guarded_rooms(), self._call)
        except outages.ERRORS:
            raise
        except BaseException as error:
            self.log_failure("reauthorize", error)
            return None

    async def follow(self, decision: Decision, old: Any = SAME) -> None:
        """Do what follows from a decision."""
        if self.gone:
            return
        if decision.refusal is not None:
            await self._expel(decision.refusal)
            return
        if lost := decision.lost & self.rooms:
            self.log(logging.INFO, "rooms-lost", rooms=len(lost))
            for room in lost:
                self.leave(room)
        if old is not SAME and self.consumer._has_own("user_changed"):
            await self._tell("user_changed", old)

    async def _expel(self, refusal: ConnectionRefused) -> None:
        """Disconnect the client from the namespace, after the hook that may tell it why."""
        self.log(logging.INFO, "unauthorized", message=refusal.message)
        if self.state is CONNECTED and self.consumer._has_own("unauthorized"):
            self._cut_off()
            await self._tell("unauthorized", timeout=GOODBYE_TIME)
        self.close(refusal)

    def _cut_off(self) -> None:
        """Hear nothing more from the client, and nothing that is for others."""
        self.connection.sockets.pop(self.namespace, None)
        self.dispatcher.drop()
        self.hub.registry.remove(self)
        if self.hub.recovery is not None:
            self.hub.recovery.forget(self)

    async def _tell(self, hook: str, *args: Any, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._call(getattr(self.consumer, hook), *args)
        except BaseException as error:
            self.log_failure(hook, error)

    async def _call(self, hook: Any, *args: Any) -> Any:
        """Call a hook beside the handlers of this client, which may be at work for long."""
        return await call_apart(hook, *args, slots=self.hub.sync_handlers)
