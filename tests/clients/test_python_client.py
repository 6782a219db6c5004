"""The official Python client, python-socketio, on every transport and every server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
import socketio

from tests.clients.python import TRANSPORTS, Client, connected
from tests.clients.wire import DEADLINE, eventually
from tests.conftest import ServerFactory
from tests.live import EVERY_KIND, LiveServer

pytestmark = pytest.mark.parametrize("kind", EVERY_KIND, indirect=True)

BINARY = b"\x00\x01\xfe\xff"

ARGUMENTS: list[tuple[Any, ...]] = [
    ("text",),
    ("",),
    ('Ünïcödé №1 🙂 \u2028 " \\ \n',),
    (0,),
    (-1.5,),
    (2**53 - 1,),
    (True, False, None),
    ([],),
    ({},),
    ([1, [2, [3, {"deep": ["er"]}]]],),
    ({"key": {"nested": [None, {"": ""}]}},),
    (1, "two", [3], {"four": 4}),
    (BINARY,),
    (b"",),
    (b"", BINARY, b""),
    ({"file": BINARY, "more": [b"", {"thumb": BINARY}]}, "name"),
    ({"_placeholder": False, "num": 0}, BINARY),
    (bytes(range(256)) * 300,),
    ("x" * 100_000,),
]


@pytest.fixture(params=TRANSPORTS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way to connect in turn."""
    return str(request.param)


async def test_is_greeted_on_connect(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        assert await client.got("message") == "I'm server"
        await server.logged(rf"connect namespace=/ .*{client.sid()}")


async def test_ends_on_the_transport_it_asked_for(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/lab") as client:
        expected = "polling" if way == "polling" else "websocket"
        assert client.io.transport() == expected
        answer = await client.call("whoami", namespace="/lab")
        assert answer["transport"] == expected
        assert answer["sid"] == client.sid("/lab")
        assert answer["authenticated"] is False


async def test_echoes_every_type_of_argument(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        for args in ARGUMENTS:
            answer = await client.call("echo", *args)
            assert (answer if len(args) > 1 else (answer,)) == args


async def test_echoes_no_argument_as_none(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/lab") as client:
        assert await client.call("echo", namespace="/lab") is None
        assert await client.call("nothing", "a", "b", namespace="/lab") is None


async def test_message_reaches_the_server_log(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        text = f"hello-from-{client.sid()}"
        await client.io.emit("message", text)
        await server.logged(text)


async def test_rooms_and_broadcasts_between_two_clients(server: LiveServer, way: str) -> None:
    async with connected(server, way) as one, connected(server, way) as two:
        room = f"Room of {one.sid()} №2 / ü"
        for client in (one, two):
            assert await client.got("message") == "I'm server"
            await client.call("join", room)
        await one.call("say", room, "first")
        assert await two.got("said") == "first"
        await one.call("leave", room)
        await two.call("say", room, "second")
        await two.call("broadcast", f"news of {two.sid()}")
        for client in (one, two):
            while await client.got("message") != f"news of {two.sid()}":
                pass
        assert "second" not in [text for (text,) in drain(one, "said")]


def drain(client: Client, event: str, namespace: str = "/") -> list[tuple[Any, ...]]:
    """Return all that arrived of an event."""
    queue = client.queue(event, namespace)
    return [queue.get_nowait() for _ in range(queue.qsize())]


@pytest.mark.parametrize(
    "answer", ["yes", 7, None, {"deep": [1, {"two": None}]}, BINARY, b"", [b"", {"x": BINARY}]]
)
async def test_server_asks_the_client(server: LiveServer, way: str, answer: Any) -> None:
    async with connected(server, way) as client:
        questions: list[Any] = []

        async def reply(question: Any) -> Any:
            questions.append(question)
            return answer

        client.answer("question", reply)
        assert await client.call("ask me") == answer
        assert questions == ["ready?"]


async def test_server_asks_with_a_callback(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/lab") as client:
        client.answer("question", lambda question: (question, BINARY), namespace="/lab")
        await client.io.emit("ask with callback", namespace="/lab")
        assert await client.got("answered", "/lab") == ("call me back", BINARY)


async def test_many_acknowledgements_at_once(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        answers = await asyncio.gather(*(client.call("echo", number) for number in range(100)))
        assert answers == list(range(100))


async def test_namespaces_are_isolated(server: LiveServer, way: str) -> None:
    names = ["/", "/your-namespace1", "/your-namespace2", "/users", "/orders", "/lab"]
    async with connected(server, way, *names) as client, connected(server, way, *names) as other:
        assert len({client.sid(name) for name in names}) == len(names)
        for name in names:
            await server.logged(rf"connect namespace={name} .*{client.sid(name)}")
        room = f"everywhere-{client.sid()}"
        for name in ("/", "/lab"):
            await other.call("join", room, namespace=name)
        await client.call("say", [room], "only in the lab", namespace="/lab")
        await client.call("say", room, "only in the main one")
        assert await other.got("said", "/lab") == "only in the lab"
        assert await other.got("said") == "only in the main one"
        for name in names:
            assert drain(other, "said", name) == []


async def test_namespace_with_a_parameter(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/typed/7", "/typed/8") as client:
        assert await client.got("kwargs", "/typed/7") == {"pk": 7}
        assert await client.call("kwargs", namespace="/typed/8") == {"pk": 8}


async def test_auth_reaches_the_consumer(server: LiveServer, way: str) -> None:
    auth = {"token": "№1", "say": "welcome"}
    async with connected(server, way, "/lab", auth=auth) as client:
        assert await client.got("said", "/lab") == "welcome"
        assert (await client.call("whoami", namespace="/lab"))["auth"] == auth


@pytest.mark.parametrize(
    ("namespace", "error"),
    [
        ("/refused", {"message": "log in first", "data": {"code": 401}}),
        ("/unknown", {"message": "Invalid namespace"}),
        ("/typed/x", {"message": "Invalid namespace"}),
    ],
)
async def test_refused_namespace_leaves_the_connection_alive(
    server: LiveServer, way: str, namespace: str, error: dict[str, Any]
) -> None:
    client = Client()
    await client.io.connect(
        server.url, transports=TRANSPORTS[way], namespaces=["/lab", namespace], wait=False
    )
    try:
        await eventually(lambda: namespace in client.errors and "/lab" in client.io.namespaces)
        assert client.errors == {namespace: error}
        assert await client.call("echo", "alive", namespace="/lab") == "alive"
    finally:
        await client.close()


@pytest.mark.parametrize("way", ["websocket", "upgrade"])
async def test_refusal_of_the_only_namespace_raises(server: LiveServer, way: str) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError, match="/refused"):
        async with connected(server, way, "/refused"):
            pass


async def test_leaving_is_logged_with_the_reason(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        sid = client.sid()
    # Over WebSocket the library closes faster than it sends what it queued.
    reason = "client namespace disconnect" if way == "polling" else ".*"
    await server.logged(rf'disconnect .*{sid}.*reason="{reason}"')


async def test_going_away_is_logged_with_the_reason(server: LiveServer, way: str) -> None:
    async with connected(server, way) as client:
        sid = client.sid()
        # The library forgets to say goodbye while a request of its own is on the way.
        await client.io.eio.queue.join()
        await client.io.eio.disconnect()
    await server.logged(rf'disconnect .*{sid}.*reason="transport close"')


async def test_server_closes_one_namespace(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/", "/lab") as client:
        sid = client.sid("/lab")
        await client.io.emit("kick", namespace="/lab")
        async with asyncio.timeout(DEADLINE):
            assert await client.left.get() == ("/lab", "server disconnect")
        assert await client.call("echo", "still here") == "still here"
        await server.logged(rf'disconnect .*{sid}.*reason="server namespace disconnect"')
        await server.logged(rf'lab left sid={sid} reason="server namespace disconnect"')


async def test_more_packets_than_a_payload_may_have(server: LiveServer, way: str) -> None:
    async with connected(server, way, "/lab") as client:
        assert await client.call("flood", 200, 10, namespace="/lab") == 200
        numbers = [(await client.got("flood", "/lab"))[0] for _ in range(200)]
        assert numbers == list(range(200))
        for number in range(100):
            await client.io.emit("note", f"n{number}", namespace="/lab")
        notes = await client.call("note", "last", namespace="/lab")
        assert notes == [f"n{number}" for number in range(100)] + ["last"]


async def test_reconnects_after_a_restart(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind)
    options = {
        "reconnection": True,
        "reconnection_delay": 0.1,
        "reconnection_delay_max": 0.2,
        "randomization_factor": 0.1,
    }
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connected(server, way, "/", "/lab", **options))
            for way in TRANSPORTS
        ]
        before = [client.sid() for client in clients]
        await asyncio.to_thread(server.stop)
        for client in clients:
            left = {(await asyncio.wait_for(client.left.get(), DEADLINE))[0] for _ in range(2)}
            assert left == {"/", "/lab"}
        await asyncio.to_thread(server.start)
        for client, sid in zip(clients, before, strict=True):
            await eventually(lambda io=client.io: {"/", "/lab"} <= set(io.namespaces), timeout=60)
            assert client.sid() != sid
            assert await client.call("echo", "again") == "again"


def test_synchronous_client(server: LiveServer, way: str) -> None:
    client = socketio.SimpleClient(reconnection=False, handle_sigint=False)
    with client:
        client.connect(server.url, transports=TRANSPORTS[way], wait_timeout=20)
        assert client.receive(timeout=20) == ["message", "I'm server"]
        args = ("a", {"b": [BINARY, b""]})
        assert client.call("echo", args, timeout=20) == args
        assert client.transport == ("polling" if way == "polling" else "websocket")
        # The library forgets to say goodbye while a request of its own is on the way.
        client.client.eio.queue.join()
