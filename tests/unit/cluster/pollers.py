"""Clients that stay on polling, whose requests come to whichever of a test's hubs it says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from realtime.cluster.envelopes import HttpRequest, HttpResponse
from realtime.exceptions import HandshakeError
from realtime.hub.hub import Hub
from realtime.identity.scopes import identify
from realtime.protocol import engineio
from realtime.transports import http, relay
from realtime.transports.polling import PollingWriter
from realtime.transports.session import Session
from tests.unit.probes import DEADLINE

from .conftest import Server, until
from .upgrading import SCOPE


def serve(*servers: Server) -> None:
    """Let hubs answer what others forward to them, as a server's application does."""
    for server in servers:
        server.hub.answer_http = Forwarded(server.hub)


class Forwarded:
    """Answers requests that other hubs forward."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, question: HttpRequest) -> HttpResponse:
        async def start(scope: dict[str, Any]) -> Session:
            raise HandshakeError(HandshakeError.BAD_REQUEST)

        async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await http.Request(self._hub, scope, receive, send, forwarded=True).serve(start)

        return await relay.answer(self._hub, question, answer)


class Poller:
    """
    A client in "/" on polling. Its next requests go to the hub `way`.

    `ends` has how requests failed, `polls` how many were answered.
    """

    def __init__(self, home: Server, **scope: Any) -> None:
        self.home = self.way = home
        self.id = ""
        self.ends: list[tuple[str, int, str]] = []
        self.polls = 0
        self.got: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.connected: dict[str, Any] = {}
        self._scope = scope
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def come(cls, home: Server, auth: Any = None, **scope: Any) -> Poller:
        """Connect to a hub, and poll from then on."""
        poller = cls(home, **scope)
        _, text = await poller.request("GET")
        poller.id = json.loads(text[1:])["sid"]
        await poller.post("40" + json.dumps(auth or {}))
        _, text = await poller.request("GET")
        poller.connected = json.loads(text.partition(engineio.SEPARATOR)[0][2:])
        poller.poll()
        return poller

    @property
    def sid(self) -> str:
        """Its sid in "/"."""
        return str(self.connected["sid"])

    def session(self, at: Server) -> Session | None:
        """Return its session at a hub, if it is there."""
        found = at.hub.connections.get(self.id)
        assert found is None or isinstance(found, Session)
        return found

    # Requests

    async def request(
        self, method: str, body: bytes = b"", *, parts: Any = None, at: Server | None = None
    ) -> tuple[int, str]:
        """
        Send a request; return its answer. `parts` yields the body where that is not all there.
        """
        answer: dict[str, Any] = {}
        text = bytearray()

        async def send(message: dict[str, Any]) -> None:
            answer.update(message)
            text.extend(message.get("body", b""))

        messages = [{"type": "http.request", "body": body}]

        async def receive() -> dict[str, Any]:
            if parts is not None:
                async for part, more in parts:
                    return {"type": "http.request", "body": part, "more_body": more}
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError

        hub = (at or self.way).hub
        length = b"4000" if parts is not None else str(len(body)).encode()
        headers = [(b"host", b"testserver"), (b"content-length", length)]
        scope = {**SCOPE, "headers": headers, "method": method, **self._scope}
        scope["query_string"] = b"EIO=4&transport=polling" + (
            b"&sid=" + self.id.encode() if self.id else b""
        )

        async def start(scope: dict[str, Any]) -> Session:
            session = Session(hub, await identify(hub, scope), PollingWriter())
            hub.spawn(session.read(session.require_inbox().receive))
            return session

        async with asyncio.timeout(2 * DEADLINE):
            await http.Request(hub, scope, receive, send).serve(start)
        if answer["status"] != 200:
            self.ends.append((method, answer["status"], text.decode()))
        return answer["status"], text.decode()

    async def post(self, *frames: str, at: Server | None = None) -> None:
        """Send frames by a POST, and wait for its answer."""
        async with self._turn:
            await self.request("POST", engineio.SEPARATOR.join(frames).encode(), at=at)

    def poll(self) -> None:
        """Poll until that fails, and answer pings."""
        self._tasks.append(asyncio.create_task(self._poll()))

    async def _poll(self) -> None:
        while not self.ends:
            await asyncio.sleep(0)  # a network is never at once
            status, text = await self.request("GET")
            if status != 200:
                return
            self.polls += 1
            for frame in text.split(engineio.SEPARATOR):
                if frame == "2":
                    self._tasks.append(asyncio.create_task(self.post("3")))
                elif frame != "6":
                    self.got.put_nowait(frame)

    async def stop(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Moving

    async def wander(self, to: Server) -> None:
        """Let all requests go to another hub, until the session is there."""
        self.way = to
        async with asyncio.timeout(DEADLINE):
            while self.session(to) is None:
                await self.post("3")
        assert not self.ends

    async def stay(self, way: Server, times: int = 1) -> None:
        """Let all requests go to another hub, until that has found so often that it must stay."""
        self.way = way
        before = way.hub.counters.not_moved
        async with asyncio.timeout(DEADLINE):
            while way.hub.counters.not_moved < before + times:
                await self.post("3")
        assert self.session(way) is None
        assert not self.ends

    # What it gets

    async def next(self) -> Any:
        """Return what the next event says, a number of an acknowledgement first."""
        while True:
            async with asyncio.timeout(DEADLINE):
                packet = await self.got.get()
            if isinstance(packet, str) and packet.startswith(("42", "43")):
                head, _, rest = packet.partition("[")
                args = json.loads("[" + rest)
                if head != "42":
                    return [int(head[2:]), *args]
                return args[1:] if self.home.hub.recovery is None else args[1:-1]

    async def call(self, number: int, *event: Any) -> Any:
        """Send an event, and return its acknowledgement, which is to come next."""
        await self.post(f"42{number}{json.dumps(event)}")
        acknowledged, *answer = await self.next()
        assert acknowledged == number
        return answer


async def gone(poller: Poller, home: Server, *others: Server) -> None:
    """Wait until a client's session is at no hub, and its own does not know it any more."""
    await until(lambda: not any(poller.session(server) for server in (home, *others)))
    await until(lambda: home.hub.moves.where(poller.id) is None)
