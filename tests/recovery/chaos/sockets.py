"""A Socket.IO client as light as its many copies need it to be, which recovers as npm's does."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

from tests.recovery.chaos.links import Broken, Link, open_link

ACK_TIMEOUT = 40.0


class ClientSocket:
    """
    A socket of one namespace, on one connection at a time.

    `heard` is called with the arguments of each event, `welcomed` with the answer to each CONNECT.
    """

    def __init__(
        self,
        namespace: str,
        heard: Callable[[list[Any]], None],
        welcomed: Callable[[dict[str, Any], bool], None],
    ) -> None:
        self.namespace = namespace
        self.pid = ""
        self.offset = ""
        self.connected = False
        self.link: Link | None = None
        self._heard = heard
        self._welcomed = welcomed
        self._early: list[list[Any]] = []
        self._ids = itertools.count()
        self._acks: dict[int, asyncio.Future[list[Any]]] = {}
        self._unfinished: list[Any] = []
        self._attachments: list[bytes] = []

    async def open(self, way: str, port: int, auth: dict[str, Any]) -> None:
        """Open a connection, and ask for the namespace; raise Broken where that cannot be."""
        self.link = await open_link(way, port)
        if self.pid:
            auth = {**auth, "pid": self.pid, **({"offset": self.offset} if self.offset else {})}
        await self.link.send(f"0{self.namespace},{json.dumps(auth)}")

    async def listen(self, at_most: int = -1) -> None:
        """Take what comes until the connection ends, or so many frames of it."""
        link = self.link
        assert link is not None
        if not at_most:
            return
        async for frame in link.frames():
            if link is not self.link:  # it was given up
                return
            self._take(frame)
            at_most -= 1
            if not at_most:
                return

    def give_up(self) -> Link | None:
        """Forget the connection, as it is; nothing that comes over it counts any more."""
        link, self.link, self.connected = self.link, None, False
        self._unfinished, self._attachments = [], []
        for future in self._acks.values():
            if not future.done():
                future.set_exception(Broken("the connection is gone"))
        self._acks.clear()
        return link

    async def call(self, *args: Any) -> list[Any]:
        """Emit an event and return its acknowledgement; raise Broken where none comes."""
        if not self.connected or self.link is None:
            raise Broken("not connected")
        number = next(self._ids)
        future = self._acks[number] = asyncio.get_running_loop().create_future()
        try:
            await self.link.send(f"2{self.namespace},{number}{json.dumps(args)}")
            async with asyncio.timeout(ACK_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise Broken("no acknowledgement") from error
        finally:
            if future.done() and not future.cancelled():
                future.exception()
            self._acks.pop(number, None)

    # What comes

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self._attachments.append(frame)
            self._finish()
            return
        kind, rest = frame[0], frame[1:]
        attachments = 0
        if kind in "56":
            count, _, rest = rest.partition("-")
            attachments = int(count)
        assert rest.startswith(self.namespace), frame
        rest = rest[len(self.namespace) :].removeprefix(",")
        if kind == "0":
            self._enter(json.loads(rest))
        elif kind == "1":
            self.connected = False
            self.pid = ""
        elif kind == "3":
            number, _, body = rest.partition("[")
            future = self._acks.get(int(number))
            if future is not None and not future.done():
                future.set_result(json.loads("[" + body))
        elif kind == "4":
            raise AssertionError(f"refused: {frame}")
        elif kind == "2":
            self._hear(json.loads(rest))
        elif kind == "5":
            self._unfinished = [json.loads(rest), attachments]
        else:
            raise AssertionError(frame)

    def _finish(self) -> None:
        args, attachments = self._unfinished
        if len(self._attachments) == attachments:
            self._unfinished, self._attachments = [], []
            self._hear(args)

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
