"""Engine.IO connections by polling, which go over to WebSocket as the official client does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.ports import HOST
from tests.recovery.chaos.links import PATH, Broken, Frame, WebSocketLink

SEPARATOR = "\x1e"

# How far an upgrade is: the WebSocket is open and probes, its probe is answered, all requests have
# ended and the UPGRADE packet comes next, that is sent.
STAGES = ("probes", "is answered", "leaves polling", "has upgraded")

AtStage = Callable[[str], Awaitable[None]]


class Http:
    """One HTTP/1.1 connection, kept alive."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: str = "") -> str:
        """Send a request and return the body of its answer; raise Broken unless it is a 200."""
        try:
            async with asyncio.timeout(60):
                return await self._request(method, path, body.encode())
        except (OSError, EOFError, TimeoutError) as error:
            self.abort()
            raise Broken(repr(error)) from error

    async def _request(self, method: str, path: str, body: bytes) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port, limit=2**24)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{self._port}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in headers:
            answer = await reader.readexactly(int(headers["content-length"]))
        else:
            answer = await self._read_chunks(reader)
        if headers.get("connection") == "close":
            self.abort()
        if lines[0].split()[1] != "200":
            raise Broken(f"{lines[0]} {answer!r}")
        return answer.decode()

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        chunks = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(chunks)

    def abort(self) -> None:
        """End the connection; another request opens another one."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Requests:
    """Requests to the ports that `choose_port` says, one after the other."""

    def __init__(self, choose_port: Callable[[], int]) -> None:
        self._choose_port = choose_port
        self._connections: dict[int, Http] = {}
        self._turn = asyncio.Lock()

    async def send(self, method: str, path: str, body: str = "") -> str:
        """Send a request and return the body of its answer; raise Broken unless it is a 200."""
        async with self._turn:
            port = self._choose_port()
            http = self._connections.setdefault(port, Http(port))
            return await http.request(method, path, body)

    def abort(self) -> None:
        """End all connections."""
        for http in self._connections.values():
            http.abort()


class PollingLink:
    """A connection by polling, which goes over to a WebSocket at a port if it is to."""

    def __init__(self, sid: str, choose_port: Callable[[], int]) -> None:
        self._sid = sid
        self._path = f"{PATH}polling&sid={sid}"
        self._polls, self._posts = Requests(choose_port), Requests(choose_port)
        # Who has it may send.
        self._turn = asyncio.Lock()
        self._over = False
        self._pausing = False
        self._is_polling = False
        self._last_poll_ended = asyncio.Event()
        self._probing: WebSocketLink | None = None
        self._upgraded: WebSocketLink | None = None
        self._upgrading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, port: int, choose_port: Callable[[], int]) -> PollingLink:
        """Make the handshake at a port; later requests go where `choose_port` says."""
        http = Http(port)
        try:
            opening = await http.request("GET", PATH + "polling")
        finally:
            http.abort()
        if not opening.startswith("0"):
            raise Broken(f"no handshake: {opening[:100]}")
        return cls(json.loads(opening[1:])["sid"], choose_port)

    def upgrade(self, port: int, at_stage: AtStage) -> None:
        """Begin an upgrade to a WebSocket at a port; `at_stage` is awaited at each of `STAGES`."""
        self._upgrading = asyncio.create_task(self._upgrade(port, at_stage))

    async def _upgrade(self, port: int, at_stage: AtStage) -> None:
        try:
            link = self._probing = await WebSocketLink.open(port, self._sid)
            await link.send_raw("2probe")
            await at_stage(STAGES[0])
            if await link.receive() != "3probe":
                link.abort()
                return
        except Broken:  # it stays with polling
            return
        self._pausing = True
        if not self._is_polling:
            self._last_poll_ended.set()
        try:
            await at_stage(STAGES[1])
            async with self._turn:  # no POST is under way
                await self._last_poll_ended.wait()
                await at_stage(STAGES[2])
                await link.send_raw("5")
                await at_stage(STAGES[3])
                self._upgraded = link
        except Broken:  # the official client has nothing left then, either
            self.abort()

    async def send(self, *frames: Frame) -> None:
        async with self._turn:
            if self._over:
                raise Broken("it is over")
            if self._upgraded is not None:
                await self._upgraded.send(*frames)
            else:
                await self._post(SEPARATOR.join(map(_encode, frames)))

    async def _post(self, body: str) -> None:
        await self._posts.send("POST", self._path, body)

    async def frames(self) -> AsyncIterator[Frame]:
        while not self._over and not self._pausing:
            self._is_polling = True
            try:
                packets = (await self._polls.send("GET", self._path)).split(SEPARATOR)
            except Broken:
                self._over = True
                break
            self._is_polling = False
            if self._pausing:
                self._last_poll_ended.set()
            for packet in packets:
                if packet == "2":
                    await self._pong()
                elif packet == "1":
                    self._over = True
                elif packet.startswith("b"):
                    yield base64.b64decode(packet[1:])
                elif packet.startswith("4"):
                    yield packet[1:]
        if self._pausing and self._upgrading is not None and not self._over:
            await asyncio.wait({self._upgrading})
        if self._upgraded is not None and not self._over:
            async for frame in self._upgraded.frames():
                yield frame
        self.abort()

    async def _pong(self) -> None:
        try:
            async with self._turn:
                if self._upgraded is not None:
                    await self._upgraded.send_pong()
                else:
                    await self._post("3")
        except Broken:
            self._over = True

    async def close(self) -> None:
        if self._upgraded is not None:
            await self._upgraded.close()
        elif not self._over and not self._pausing:
            with contextlib.suppress(Broken):
                await self._post("1")
        self.abort()

    def abort(self) -> None:
        self._over = True
        self._polls.abort()
        self._posts.abort()
        if self._probing is not None:
            self._probing.abort()
        if self._upgrading is not None and self._upgrading is not asyncio.current_task():
            self._upgrading.cancel()


def _encode(frame: Frame) -> str:
    if isinstance(frame, str):
        return "4" + frame
    return "b" + base64.b64encode(frame).decode()
