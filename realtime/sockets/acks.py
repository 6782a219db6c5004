"""What one socket's client is asked, and the acknowledgements that it owes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from ..exceptions import AckTimeout, ClientDisconnected
from .interfaces import Socket
from .messages import Message

# What is called once with the arguments of an acknowledgement, or with None where none will come.
Resolve = Callable[[list[Any] | None], None]

# The number of an acknowledgement, and what waits for it.
Asked = tuple[int, asyncio.Future[list[Any] | None]]

# Acknowledgements that may be awaited of one client; the oldest is given up beyond that.
MAX_PENDING = 4096


class Acks:
    """
    Sends messages that ask for an acknowledgement, and keeps who waits for it, at most MAX_PENDING.

    The ids go on after the last one that any socket of the connection has used.
    """

    __slots__ = ("_pending", "_socket", "last_id")

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.last_id = socket.connection.last_ack_id
        # Made when it is needed first: most clients are never asked.
        self._pending: dict[int, Resolve] | None = None

    @property
    def pending(self) -> bool:
        """Whether any acknowledgement is waited for."""
        return bool(self._pending)

    def send(self, message: Message, resolve: Resolve) -> None:
        """
        Send a message that asks for an acknowledgement.

        `resolve` is called once with the client's arguments, or with None where it went away.
        """
        if self._socket.gone:
            resolve(None)
        else:
            self._send(message, resolve)

    def _send(self, message: Message, resolve: Resolve) -> int:
        socket = self._socket
        self.last_id += 1
        ack_id = self.last_id
        frames = message.encode(socket.connection.format, ack_id)
        socket.connection.unthrottle(socket)  # or the acknowledgement would wait for the handler
        self._add(ack_id, resolve)
        socket.hub.counters.events_out += 1
        if socket.shares_log:
            socket.in_order(partial(socket.deliver, frames))
        else:
            socket.deliver(frames)
        return ack_id

    def _add(self, ack_id: int, resolve: Resolve) -> None:
        """Wait for an acknowledgement; the oldest one is given up for it where there are many."""
        if self._pending is None:
            self._pending = {}
        self._pending[ack_id] = resolve
        if len(self._pending) > MAX_PENDING:
            oldest = next(iter(self._pending))
            self._pending.pop(oldest)(None)
            self._socket.log(logging.WARNING, "ack-given-up", id=oldest)

    async def call(self, message: Message, timeout: float | None) -> list[Any]:
        """
        Send a message and return the arguments of the client's acknowledgement.

        Raises AckTimeout after `timeout` seconds, ClientDisconnected when the client goes away.
        """
        socket = self._socket
        socket.hub.require_own_thread("acall")
        if socket.gone:
            raise ClientDisconnected(f"the client is gone, and cannot answer {message.event!r}")
        return await self.finish(self.ask(message), message.event, timeout)

    def ask(self, message: Message) -> Asked:
        """Send a message, for `finish` to return the acknowledgement."""
        answer: asyncio.Future[list[Any] | None] = self._socket.hub.loop.create_future()
        return self._send(message, partial(_set_answer, answer)), answer

    async def finish(self, asked: Asked, event: str, timeout: float | None) -> list[Any]:
        """Return the acknowledgement of a message that was sent by `ask`, as `call` does."""
        ack_id, answer = asked
        try:
            async with asyncio.timeout(timeout):
                args = await answer
        except TimeoutError:
            raise AckTimeout(f"no acknowledgement of {event!r} within {timeout} seconds") from None
        finally:
            self._pop(ack_id)
        if args is None:
            raise ClientDisconnected(f"the client left before it acknowledged {event!r}")
        return args

    def resolve(self, ack_id: int, args: list[Any]) -> None:
        """Give an acknowledgement to who waits for it; one that nobody asked for is ignored."""
        if resolve := self._pop(ack_id):
            resolve(args)

    def numbers(self) -> list[int]:
        """Return the numbers of all acknowledgements that are waited for."""
        return list(self._pending or ())

    def expect(self, ack_id: int, resolve: Resolve) -> None:
        """Wait for an acknowledgement of what another process has asked."""
        self._add(ack_id, resolve)

    def _pop(self, ack_id: int) -> Resolve | None:
        """Wait for one no longer; return what was to be called."""
        return self._pending.pop(ack_id, None) if self._pending else None

    def give_up(self) -> None:
        """Tell everybody who waits that no acknowledgement will come."""
        pending, self._pending = self._pending, None
        for resolve in (pending or {}).values():
            resolve(None)


def _set_answer(answer: asyncio.Future[list[Any] | None], args: list[Any] | None) -> None:
    if not answer.done():
        answer.set_result(args)
