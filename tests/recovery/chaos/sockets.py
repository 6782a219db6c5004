"""Socket.IO clients as light as their many copies need them to be, which recover as npm's does."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

from tests.recovery.chaos.links import Broken, Link
from tests.recovery.chaos.packets import Packet, fill, read, write_event

ACK_TIMEOUT = 40.0
ASK_TIMEOUT = 1.0


class Connection:
    """The sockets of several namespaces, over one link at a time."""

    def __init__(self, sockets: Sequence[ClientSocket]) -> None:
        self.link: Link | None = None
        self._sockets = {socket.namespace: socket for socket in sockets}
        self._unfinished: Packet | None = None
        self._attachments: list[bytes] = []
        for socket in sockets:
            socket.connection = self

    async def listen(self, at_most: int = -1) -> None:
        """
        Ask for all namespaces, and take what comes until the link ends, or so many frames of it.
        """
        link = self.link
        assert link is not None
        asking = asyncio.create_task(self._ask(link))
        try:
            if not at_most:
                await asyncio.wait({asking}, timeout=ASK_TIMEOUT)
                return
            async for frame in link.frames():
                if link is not self.link:  # it was given up
                    return
                self._take(frame)
                at_most -= 1
                if not at_most:
                    return
        finally:
            asking.cancel()

    async def _ask(self, link: Link) -> None:
        try:
            for socket in self._sockets.values():
                await link.send(socket.connect_packet())
        except Broken:
            link.abort()

    def give_up(self) -> Link | None:
        """Forget the link, as it is; nothing that comes over it counts any more."""
        link, self.link = self.link, None
        self._unfinished, self._attachments = None, []
        for socket in self._sockets.values():
            socket.disconnect()
        return link

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            assert self._unfinished is not None, "an attachment of no packet"
            self._attachments.append(frame)
        else:
            assert self._unfinished is None, f"{frame} where an attachment was to come"
            self._unfinished = read(frame)
        packet = self._unfinished
        if len(self._attachments) == packet.attachments:
            attachments, self._attachments, self._unfinished = self._attachments, [], None
            if packet.kind in "56":
                packet = packet._replace(
                    kind={"5": "2", "6": "3"}[packet.kind], data=fill(packet.data, attachments)
                )
            self._sockets[packet.namespace].take(packet)


class ClientSocket:
    """
    A socket of one namespace of a connection; `auth` goes with its CONNECT.

    `heard` is called with the arguments of each event, `welcomed` with the answer to each CONNECT.
    """

    connection: Connection

    def __init__(
        self,
        namespace: str,
        auth: dict[str, Any],
        heard: Callable[[list[Any]], None],
        welcomed: Callable[[dict[str, Any], bool], None],
    ) -> None:
        self.namespace = namespace
        self.pid = ""
        self.offset = ""
        self.connected = False
        self._auth = auth
        self._heard = heard
        self._welcomed = welcomed
        self._early: list[list[Any]] = []
        self._ids = itertools.count()
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}

    def connect_packet(self) -> str:
        """Return its CONNECT, by which it comes back where it was there."""
        auth = dict(self._auth)
        if self.pid:
            auth |= {"pid": self.pid, **({"offset": self.offset} if self.offset else {})}
        return f"0{self.namespace},{json.dumps(auth)}"

    def disconnect(self) -> None:
        """Take note that the connection is gone."""
        self.connected = False
        for future in self._acks.values():
            if not future.done():
                future.set_exception(Broken("the connection is gone"))
        self._acks.clear()

    async def call(self, *args: Any) -> list[Any]:
        """Emit an event and return its acknowledgement; raise Broken where none comes."""
        link = self.connection.link
        if not self.connected or link is None:
            raise Broken("not connected")
        number = next(self._ids)
        future = self._acks[number] = asyncio.get_running_loop().create_future()
        try:
            await link.send(*write_event(self.namespace, number, args))
            async with asyncio.timeout(ACK_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise Broken("no acknowledgement") from error
        finally:
            if future.done() and not future.cancelled():
                future.exception()
            self._acks.pop(number, None)

    # What comes

    def take(self, packet: Packet) -> None:
        """Take a packet with its attachments in it."""
        match packet.kind:
            case "0":
                self._enter(packet.data)
            case "1":
                self.connected = False
                self.pid = ""
            case "2":
                self._hear(packet.data)
            case "3":
                future = self._acks.get(-1 if packet.id is None else packet.id)
                if future is not None and not future.done():
                    future.set_result(packet.data)
            case _:
                raise AssertionError(f"refused: {packet}")

    def _enter(self, answer: dict[str, Any]) -> None:
        recovered = bool(self.pid) and answer.get("pid") == self.pid
        self.pid = answer.get("pid", "")
        self.connected = True
        self._welcomed(answer, recovered)
        early, self._early = self._early, []
        for args in early:
            self._handle(args)

    def _hear(self, args: list[Any]) -> None:
        if self.connected:
            self._handle(args)
        else:
            self._early.append(args)

    def _handle(self, args: list[Any]) -> None:
        self._heard(args)
        if self.pid and args and isinstance(args[-1], str):
            self.offset = args[-1]
