"""
Taking over a session whose WebSocket has come to another process than its polling.

A client starts with polling at one process, its owner, and a proxy may lead the WebSocket to which
it moves to another one. That one becomes the owner, by the steps of `claims`: it gets ready when
the WebSocket's probe has come. The probe is answered then. The client lets its requests of polling
end, of which the owner answers polls at once from now on, and sends the UPGRADE packet. From here
on it has left polling, and the session is taken.

Until the probe is answered anything that fails leaves the client on polling, unharmed (KEEP). After
UPGRADE it is closed, and comes back by itself (DROP).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from ..exceptions import TooLarge
from ..logs import log
from ..protocol import engineio
from ..protocol.frames import Frames
from ..webservers.readers import Reader
from .claims import FAILURES, Claim, Complete, Refused
from .departure import DROP, PREPARE
from .interfaces import Hub
from .session import Session

PROBE = engineio.PacketType.PING + "probe"
PROBE_ANSWER = engineio.PacketType.PONG + "probe"


class Takeover:
    """One session that the hub `owner` has, and this one is to have, with its WebSocket."""

    def __init__(self, hub: Hub, owner: str, sid: str, reader: Reader) -> None:
        self._hub = hub
        self._reader = reader
        self._claim = Claim(hub, owner, sid)
        self._is_answered = False

    async def run(self, scope: dict[str, Any], complete: Complete) -> Session | None:
        """
        Lead the probe, and return the session, which takes frames already. Return None where it is
        not here: if the client has not moved, it stays on polling.
        """
        try:
            return await self._run(scope, complete)
        except TooLarge:
            pass
        except FAILURES as reason:
            self._hub.counters.not_upgraded += 1
            log(logging.WARNING, "not-upgraded", **self._claim.fields(reason))
        finally:
            self._claim.end()
        return None

    async def _run(self, scope: dict[str, Any], complete: Complete) -> Session | None:
        timeout = asyncio.timeout(self._hub.settings.UPGRADE_TIMEOUT)
        try:
            async with timeout:
                if await self._reader.receive() != PROBE:
                    return None
                await self._claim.prepare(PREPARE, scope, complete)
                self._is_answered = True
                self._reader.writer.write(Frames(PROBE_ANSWER))
                if await self._reader.receive() != engineio.PacketType.UPGRADE:
                    return None
        except TimeoutError:
            if not self._is_answered:
                raise Refused("it was not ready in time") from None
            return None
        self._claim.otherwise = DROP
        session, unread = await self._claim.take(self._reader.writer)
        await self._read(session, unread)
        self._reader.start(session)
        return session

    async def _read(self, session: Session, unread: list[str | bytes]) -> None:
        """Let the session have the frames that were kept for it, as fast as it takes them."""
        frames = deque(unread)

        async def receive() -> str | bytes | None:
            return frames.popleft() if frames else None

        await session.read(receive)
