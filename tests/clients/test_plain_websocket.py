"""The plain-JSON WebSocket, spoken by the package `websockets` alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from tests.clients.wire import DEADLINE, closed, open_socket, websocket
from tests.live import LiveServer


class Plain:
    """A plain WebSocket: JSON objects both ways."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.sid = ""
        self.offset: str | None = None

    async def send(self, **frame: Any) -> None:
        """Send an object."""
        await self.connection.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        """Return the next object; the offset of an event is kept apart."""
        async with asyncio.timeout(DEADLINE):
            text = await self.connection.recv()
        assert isinstance(text, str), "the frames are text"
        frame = dict(json.loads(text))
        self.offset = frame.pop("offset", self.offset)
        return frame

    async def call(self, event: str, *args: Any) -> list[Any]:
        """Emit an event and return its acknowledgement, which must be the next frame."""
        await self.send(event=event, args=args, id=7)
        answer = await self.receive()
        assert answer.keys() == {"ack", "args"}
        assert answer["ack"] == 7
        return list(answer["args"])

    async def closed(self) -> tuple[int, str]:
        """Wait until the server closes; return the code and the reason."""
        close, _ = await closed(self.connection)
        return close.code, close.reason


@asynccontextmanager
async def connected(server: LiveServer, route: str = "", **options: Any) -> AsyncIterator[Plain]:
    """Connect to the namespace of a route, and take the frame that says so."""
    async with websocket(server, f"/ws/{route}", **options) as connection:
        plain = Plain(connection)
        first = await plain.receive()
        assert first.keys() <= {"connected", "pid"}
        plain.sid = first["connected"]
        yield plain


async def test_main_namespace(server: LiveServer) -> None:
    async with connected(server) as plain:
        assert await plain.receive() == {"event": "message", "args": ["I'm server"]}
        await server.logged(rf"connect namespace=/ .*{plain.sid}")
        await plain.send(event="message", args=[f"hello-from-{plain.sid}"])
        await server.logged(f"hello-from-{plain.sid}")


@pytest.mark.parametrize("route", ["orders/", "orders"])
async def test_other_namespace(server: LiveServer, route: str) -> None:
    async with connected(server, route) as plain:
        await server.logged(rf"connect namespace=/orders .*{plain.sid}")


async def test_route_with_a_parameter(server: LiveServer) -> None:
    async with connected(server, "typed/42/") as plain:
        assert await plain.receive() == {"event": "kwargs", "args": [{"pk": 42}]}


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["text", "Ünïcödé №1 🙂", ""],
        [0, -1.5, True, False, None, [], {}],
        [{"deep": [1, {"er": [None]}]}],
        [{"$bytes": "AAH+/w=="}],
        [{"$bytes": ""}],
        [{"file": {"$bytes": "AAH+/w=="}, "more": [{"$bytes": ""}]}],
    ],
)
async def test_echo(server: LiveServer, args: list[Any]) -> None:
    async with connected(server, "lab/") as plain:
        assert await plain.call("echo", *args) == args


async def test_event_without_an_id_gets_no_answer(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        await plain.send(event="echo", args=["unheard"])
        assert await plain.call("echo", "heard") == ["heard"]


async def test_event_without_args(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        await plain.send(event="echo", id=0)
        assert await plain.receive() == {"ack": 0, "args": []}


async def test_server_asks_the_client(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        await plain.send(event="ask", args=["ready?"], id=1)
        question = await plain.receive()
        assert (question["event"], question["args"]) == ("question", ["ready?"])
        await plain.send(ack=question["id"], args=[{"$bytes": "AAH+/w=="}])
        assert await plain.receive() == {"ack": 1, "args": [{"$bytes": "AAH+/w=="}]}


async def test_error_of_a_handler(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        (answer,) = await plain.call("refuse")
        assert answer["error"]["message"] == "no"
        assert answer["error"]["data"] == {"why": "test"}


async def test_shares_rooms_with_socketio_clients(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain, open_socket(server) as (wire, _):
        room = f"Room of {plain.sid} №3"
        await plain.call("join", room)
        await wire.call("/lab", "join", room)
        await plain.call("say", [room], "to the wire", {"$bytes": "AAH+/w=="})
        head, data = await wire.receive_many(2)
        start = '451-/lab,["said","to the wire",{"_placeholder":true,"num":0}'
        assert str(head).startswith(start)
        assert data == b"\x00\x01\xfe\xff"
        await wire.call("/lab", "say", [room], "to the plain")
        assert await plain.receive() == {"event": "said", "args": ["to the plain"]}


async def test_client_goes_away(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        sid = plain.sid
    await server.logged(rf'disconnect .*{sid}.*reason="transport close"')


async def test_server_closes(server: LiveServer) -> None:
    async with connected(server, "lab/") as plain:
        await plain.send(event="kick")
        await plain.closed()
        await server.logged(rf'disconnect .*{plain.sid}.*reason="server namespace disconnect"')


async def test_refused_with_the_reason(server: LiveServer) -> None:
    async with websocket(server, "/ws/refused/") as connection:
        code, reason = await Plain(connection).closed()
    assert code == 4401
    if server.known or server.kind != "daphne":  # whose own close frames give no reason
        assert "log in first" in reason


async def test_unknown_route(server: LiveServer) -> None:
    async with websocket(server, "/ws/nowhere/") as connection:
        assert (await Plain(connection).closed())[0] == 4404


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        '{"event": 1}',
        '{"event": "echo", "args": {}}',
        '{"event": "echo", "id": "x"}',
        '{"event": "echo", "id": -1}',
        '{"event": "echo", "other": 1}',
        '{"event": "connect"}',
        '{"ack": "x", "args": []}',
        '{"ack": 1.5, "args": []}',
        '{"event": "echo", "args": [{"$bytes": "not base64"}]}',
        '{"event": "echo", "args": [' + "[" * 5000 + "]" * 5000 + "]}",
        b"bytes",
        b"",
    ],
)
async def test_malformed_frame(server: LiveServer, frame: str | bytes) -> None:
    since = len(server.log)
    async with connected(server, "lab/") as other, connected(server, "lab/") as plain:
        await plain.connection.send(frame)
        assert (await plain.closed())[0] == 4400
        await server.logged(rf'disconnect .*{plain.sid}.*reason="parse error"')
        assert await other.call("echo", "unharmed") == ["unharmed"]
    assert "Traceback" not in server.log[since:]


async def test_oversize_frame(server: LiveServer) -> None:
    async with connected(server, "lab/") as other, connected(server, "lab/") as plain:
        await plain.send(event="echo", args=["x" * 1_000_001])
        assert (await plain.closed())[0] == server.close_code(1009)
        assert await other.call("echo", "unharmed") == ["unharmed"]


async def test_foreign_origin(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(server, "lab/", origin="https://foreign.example"):
            pass
    assert refused.value.response.status_code == 403
    async with connected(server, "lab/", origin=server.url) as plain:
        assert await plain.call("echo", "same origin") == ["same origin"]
