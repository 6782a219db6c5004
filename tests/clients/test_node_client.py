"""The official JavaScript client, npm's socket.io-client, on every transport and every server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.javascript import OPTIONS, Node
from tests.clients.wire import DEADLINE
from tests.conftest import ServerFactory
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)

BINARY = b"\x00\x01\xfe\xff"

ARGUMENTS: list[tuple[Any, ...]] = [
    ("text",),
    ("", "Ünïcödé №1 🙂 \u2028"),
    (0, -1.5, 2**53 - 1, True, False, None),
    ([], {}, [1, [2, [3, {"deep": ["er"]}]]]),
    (BINARY,),
    (b"",),
    (b"", BINARY, b""),
    ({"file": BINARY, "more": [b"", {"thumb": BINARY}]}, "name"),
    (bytes(range(256)) * 300, "x" * 100_000),
]


@pytest.fixture(params=OPTIONS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way to connect in turn."""
    return str(request.param)


async def test_is_greeted_and_logged(node: Node, server: LiveServer, way: str) -> None:
    socket = await node.open(server, way)
    assert await socket.got("message") == ["I'm server"]
    await server.logged(rf"connect namespace=/ .*{socket.sid}")
    socket.do("emit", args=["message", f"hello-from-{socket.sid}"])
    await server.logged(f"hello-from-{socket.sid}")


async def test_echoes_every_type_of_argument(node: Node, server: LiveServer, way: str) -> None:
    socket = await node.open(server, way)
    for args in ARGUMENTS:
        assert await socket.call("echo", *args) == list(args)


async def test_many_acknowledgements_at_once(node: Node, server: LiveServer, way: str) -> None:
    socket = await node.open(server, way)
    numbers = [socket.start("call", DEADLINE, "echo", value) for value in range(100)]
    answers = [(await socket.finish(number))[0] for number in numbers]
    assert answers == [[value] for value in range(100)]


@pytest.mark.parametrize("answer", [["yes"], [], [BINARY, {"empty": b""}]])
async def test_server_asks_the_client(
    node: Node, server: LiveServer, way: str, answer: list[Any]
) -> None:
    socket = await node.open(server, way)
    socket.do("answer", event="question", args=answer)
    assert await socket.call("ask me") == answer  # several arguments are a tuple, as returned
    assert await socket.got("question") == ["ready?"]


async def test_emit_with_ack_and_its_timeout(node: Node, server: LiveServer, way: str) -> None:
    await node.open(server, way)
    lab = await node.socket("one", "/lab")
    assert await lab.ask("emitWithAck", "echo", "quick") == (["quick"], None)
    slow = await lab.ask("emitWithAck", "sleep", 0.5, timeout=0.1)
    assert slow == ([], "operation has timed out")
    assert await lab.ask("emitWithAck", "echo", "still there") == (["still there"], None)


async def test_rooms_between_two_clients(node: Node, server: LiveServer, way: str) -> None:
    one = await node.open(server, way, "one")
    two = await node.open(server, way, "two")
    room = f"Room of {one.sid} №2"
    for socket in (one, two):
        await socket.call("join", room)
    await one.call("say", room, "first")
    assert await two.got("said") == ["first"]
    assert await one.got("said") == ["first"]
    await one.call("leave", room)
    await two.call("say", room, "second")
    assert await two.got("said") == ["second"]
    await two.call("broadcast", f"news of {two.sid}")
    await one.happened("event", event="message", args=[f"news of {two.sid}"])
    assert not node.has_said(**one.names, happened="event", event="said")


async def test_namespaces_share_one_connection(node: Node, server: LiveServer, way: str) -> None:
    main = await node.open(server, way)
    names = ["/your-namespace1", "/your-namespace2", "/users", "/orders", "/lab", "/typed/7"]
    sockets = [await node.socket("one", name) for name in names]
    assert len({socket.sid for socket in [main, *sockets]}) == len(names) + 1
    assert await sockets[-1].got("kwargs") == [{"pk": 7}]
    sockets[0].do("disconnect")
    await sockets[0].happened("disconnect", reason="io client disconnect")
    await server.logged(rf'disconnect .*{sockets[0].sid}.*reason="client namespace disconnect"')
    assert await main.call("echo", "alive") == ["alive"]
    assert not node.has_said(happened="open")


@pytest.mark.parametrize(
    ("namespace", "message", "data"),
    [("/refused", "log in first", {"code": 401}), ("/unknown", "Invalid namespace", None)],
)
async def test_refused_namespace(
    node: Node, server: LiveServer, way: str, namespace: str, message: str, data: Any
) -> None:
    main = await node.open(server, way)
    refused = await node.socket("one", namespace, fails=True)
    error = await refused.happened("connect_error")
    assert (error["message"], error.get("data")) == (message, data)
    assert await main.call("echo", "alive") == ["alive"]


async def test_auth_reaches_the_consumer(node: Node, server: LiveServer, way: str) -> None:
    await node.open(server, way)
    auth = {"token": "№1", "say": "welcome"}
    lab = await node.socket("one", "/lab", auth)
    assert await lab.got("said") == ["welcome"]
    (answer,) = await lab.call("whoami")
    assert answer["auth"] == auth
    assert answer["transport"] == ("polling" if way == "polling" else "websocket")


async def test_server_closes_a_namespace(node: Node, server: LiveServer, way: str) -> None:
    main = await node.open(server, way)
    lab = await node.socket("one", "/lab")
    lab.do("emit", args=["kick"])
    await lab.happened("disconnect", reason="io server disconnect")
    await server.logged(rf'disconnect .*{lab.sid}.*reason="server namespace disconnect"')
    assert await main.call("echo", "alive") == ["alive"]


async def test_closing_the_connection(node: Node, server: LiveServer, way: str) -> None:
    main = await node.open(server, way)
    node.do("close", manager="one")
    await main.happened("disconnect")
    await server.logged(rf'disconnect .*{main.sid}.*reason="transport close"')


async def test_bursts_both_ways_keep_their_order(node: Node, server: LiveServer, way: str) -> None:
    await node.open(server, way)
    lab = await node.socket("one", "/lab")
    assert await lab.call("flood", 200, 10) == [200]
    assert [(await lab.got("flood"))[0] for _ in range(200)] == list(range(200))
    for number in range(100):
        lab.do("emit", args=["note", f"n{number}"])
    assert await lab.call("note", "last") == [[f"n{number}" for number in range(100)] + ["last"]]


async def test_reconnects_after_a_restart(node: Node, kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind)
    options = {"reconnection": True, "reconnectionDelay": 50, "reconnectionDelayMax": 200}
    sockets = []
    for way in OPTIONS:
        sockets.append(await node.open(server, way, way, **options))
        sockets.append(await node.socket(way, "/lab"))
    await asyncio.to_thread(server.stop)
    for socket in sockets:
        reason = (await socket.happened("disconnect"))["reason"]
        assert reason.startswith("transport ")
    await asyncio.to_thread(server.start)
    for way in OPTIONS:
        await node.said(manager=way, happened="reconnect")
    for socket in sockets:
        assert (await socket.happened("connect"))["sid"] != socket.sid
        assert await socket.call("echo", "again") == ["again"]
