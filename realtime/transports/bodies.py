"""The bodies of HTTP requests, as they come, and within their bounds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from ..exceptions import TooLarge
from ..utils.headers import header

Receive = Callable[[], Awaitable[dict[str, Any]]]

# How long an answered request is read on: a server that closes a connection with bytes unread
# resets it, and the client may never see the answer.
LINGER = 5.0


class Disconnected(Exception):
    """The client went away before its request was answered."""


class Body:
    """
    The body of one request. `unread` tells whether there is one that has not come to its end.

    After the answer the client has `linger` seconds to send the rest.
    """

    def __init__(self, scope: dict[str, Any], receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.unread = _has_body(scope)
        self.linger = LINGER

    async def read(
        self, limit: int, find_limit: Callable[[], Awaitable[int]] | None = None
    ) -> bytes:
        """
        Return the body. Raises TooLarge as soon as it is known to have more bytes than it may.

        Where it has more than `limit`, `find_limit` is asked first whether it may.
        """
        declared = header(self._scope, b"content-length") or ""
        size = int(declared) if declared.isdecimal() else 0
        body, complete = bytearray(), False
        while True:
            if max(size, len(body)) > limit:
                if find_limit is None:
                    raise TooLarge
                limit, find_limit = await find_limit(), None
            elif complete:
                return bytes(body)
            else:
                body += await self.read_part()
                complete = not self.unread

    async def read_part(self) -> bytes:
        """Return what has come of the body. Raises Disconnected."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.unread = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def until_gone(self) -> None:
        """Wait until the client has gone away."""
        with contextlib.suppress(Disconnected):
            while True:
                await self.read_part()

    async def read_on(self) -> None:
        """Read the rest of the body, which nobody keeps; a client that is quick has its answer."""
        with contextlib.suppress(TimeoutError, Disconnected):
            async with asyncio.timeout(self.linger):
                while self.unread:
                    await self.read_part()


def _has_body(scope: dict[str, Any]) -> bool:
    """Tell whether a body follows a request's headers, and its client sends it unasked."""
    if header(scope, b"expect"):
        return False
    return header(scope, b"transfer-encoding") is not None or (
        (header(scope, b"content-length") or "0").strip() != "0"
    )
