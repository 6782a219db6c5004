"""Long-polling without sticky sessions: two servers, and a proxy that leads to them in turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from realtime.cluster.requests import ANSWER_TIMEOUT
from tests.clients.javascript import OPTIONS, Node, NodeSocket
from tests.clients.python import TRANSPORTS, Client, connected
from tests.clients.wire import DEADLINE, eventually
from tests.cluster.conftest import Connect, poll_arrived
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ClusterFactory, NginxFactory
from tests.live import LiveServer
from tests.nginx import Nginx
from tests.processes import CLEAN_EXITS
from tests.valkey import Valkey

KINDS = ("daphne", "uvicorn")
WAYS = ("polling", "upgrade")
BINARY = b"\x00\x01\xfe\xff"
ENGINE = "/socket.io/?EIO=4&transport=polling"
UNKNOWN_SID = {"code": 1, "message": "Session ID unknown"}

ARGUMENTS: list[tuple[Any, ...]] = [
    ("text", "Ünïcödé №1 🙂 \u2028"),
    (BINARY,),
    (b"", BINARY, {"deep": [b"", BINARY]}),
    (bytes(range(256)) * 300, "x" * 100_000),
]


class Balanced(NamedTuple):
    """A cluster, and the proxy before it."""

    cluster: LiveCluster
    proxy: Nginx


@pytest.fixture(scope="module", params=LAYERS)
def balanced(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Balanced]:
    """Two servers behind nginx, on each layer in turn; nobody stops them."""
    with (
        LiveCluster(KINDS, valkey, request.param) as cluster,
        Nginx(*(server.port for server in cluster)) as proxy,
    ):
        yield Balanced(cluster, proxy)


@pytest.fixture
def proxy(balanced: Balanced) -> Nginx:
    """The proxy."""
    return balanced.proxy


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each way to connect that starts with polling."""
    return str(request.param)


async def owner_of(cluster: LiveCluster, sid: str) -> LiveServer:
    """Return the server that a client of "/lab" is on, as its log tells."""
    line = f"connect namespace=/lab sid={sid}"
    return await eventually(lambda: next((s for s in cluster if line in s.log), None))


# Official clients


async def talk_python(client: Client) -> None:
    """See that all kinds of events work, both ways and in order."""
    for args in ARGUMENTS:
        answer = await client.call("echo", *args, namespace="/lab")
        assert (answer if len(args) > 1 else (answer,)) == args
    for number in range(100):
        await client.io.emit("note", f"n{number}", namespace="/lab")
    notes = await client.call("note", "last", namespace="/lab")
    assert notes == [f"n{number}" for number in range(100)] + ["last"]
    assert await client.call("flood", 200, 1000, namespace="/lab") == 200
    numbers = [(await client.got("flood", "/lab"))[0] for _ in range(200)]
    assert numbers == list(range(200))
    client.answer("question", lambda question: (question, BINARY), "/lab")
    assert await client.call("ask", "why?", namespace="/lab") == ("why?", BINARY)


async def talk_node(socket: NodeSocket) -> None:
    """See that all kinds of events work, both ways and in order."""
    for args in ARGUMENTS:
        assert await socket.call("echo", *args) == list(args)
    for number in range(100):
        socket.do("emit", args=["note", f"n{number}"])
    assert await socket.call("note", "last") == [[f"n{number}" for number in range(100)] + ["last"]]
    assert await socket.call("flood", 200, 1000) == [200]
    assert [(await socket.got("flood"))[0] for _ in range(200)] == list(range(200))
    socket.do("answer", event="question", args=["because", BINARY])
    assert await socket.call("ask", "why?") == ["because", BINARY]


async def test_python_client(proxy: Nginx, way: str) -> None:
    async with connected(proxy, way, "/lab") as client:
        sid = client.sid("/lab")
        await talk_python(client)
        assert client.sid("/lab") == sid
        assert client.left.empty()


async def test_javascript_client(node: Node, proxy: Nginx, way: str) -> None:
    options = {"reconnection": False, **OPTIONS[way]}
    node.do("open", manager="one", url=proxy.url, options=options)
    socket = await node.socket("one", "/lab")
    await talk_node(socket)
    assert not node.has_said(**socket.names, happened="disconnect")


async def test_upgrades_that_go_astray(balanced: Balanced) -> None:
    """The server that a WebSocket reaches takes its client over, if it is not its own."""
    clients = []
    for _ in range(12):
        clients.append(Client())
        await clients[-1].io.connect(
            balanced.proxy.url,
            transports=TRANSPORTS["upgrade"],
            namespaces=["/lab"],
            wait_timeout=DEADLINE,
        )
    try:
        await asyncio.gather(*map(talk_python, clients))
        assert {client.io.transport() for client in clients} == {"websocket"}
        assert all(client.left.empty() for client in clients)
        places = [await client.call("whoami", namespace="/lab") for client in clients]
        assert {place["transport"] for place in places} == {"websocket"}
        assert any("taken-over" in server.log for server in balanced.cluster)
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_rooms_of_polling_clients(proxy: Nginx) -> None:
    async with (
        connected(proxy, "polling", "/lab") as one,
        connected(proxy, "polling", "/lab") as two,
    ):
        room = f"room of {one.sid('/lab')}"
        for client in (one, two):
            assert await client.call("join", room, namespace="/lab") == [room]
        await one.call("say", [room], "hi", BINARY, namespace="/lab")
        assert await two.got("said", "/lab") == ("hi", BINARY)


async def test_a_client_that_says_goodbye(balanced: Balanced) -> None:
    async with connected(balanced.proxy, "polling", "/lab") as client:
        sid = client.sid("/lab")
    owner = await owner_of(balanced.cluster, sid)
    await owner.logged(rf"lab left sid={sid}")


# Servers that stop, and such as have just started


class RawSession:
    """An Engine.IO session over HTTP requests that are written out here."""

    def __init__(self, owner: LiveServer, other: LiveServer) -> None:
        self.owner = owner
        self._http = httpx.Client(base_url=other.url, trust_env=False, timeout=DEADLINE)
        self.sid = json.loads(owner.get(ENGINE).text[1:])["sid"]

    def __enter__(self) -> RawSession:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(self) -> httpx.Response:
        """Poll."""
        return self._http.get(f"{ENGINE}&sid={self.sid}")

    def post(self, payload: str) -> httpx.Response:
        """Send a payload."""
        return self._http.post(f"{ENGINE}&sid={self.sid}", content=payload.encode())

    def enter(self, namespace: str) -> None:
        """Enter a namespace."""
        assert self.post(f"40{namespace},").text == "ok"
        assert self.get().text.startswith(f"40{namespace},")


@pytest.fixture
async def reconnecting() -> AsyncIterator[Client]:
    """A python-socketio client that comes back by itself."""
    client = Client(
        reconnection=True,
        reconnection_delay=0.05,
        reconnection_delay_max=0.2,
        randomization_factor=0,
    )
    yield client
    await client.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_clients_come_back_when_their_server_ends(
    new_cluster: ClusterFactory,
    new_nginx: NginxFactory,
    layer: str,
    end: str,
    reconnecting: Client,
    node: Node,
) -> None:
    cluster = await asyncio.to_thread(new_cluster, KINDS, layer=layer)
    proxy = new_nginx(*cluster)
    await reconnecting.io.connect(
        proxy.url, transports=["polling"], namespaces=["/lab"], wait_timeout=DEADLINE
    )
    options = {**OPTIONS["polling"], "reconnectionDelay": 50, "reconnectionDelayMax": 200}
    node.do("open", manager="one", url=proxy.url, options=options)
    socket = await node.socket("one", "/lab")
    sids = {reconnecting.sid("/lab"), socket.sid}
    owner, other = [await owner_of(cluster, sid) for sid in (reconnecting.sid("/lab"), socket.sid)]
    await asyncio.to_thread(getattr(owner, end))

    async with asyncio.timeout(DEADLINE):
        await reconnecting.left.get()
    async with asyncio.timeout(DEADLINE):
        while not reconnecting.io.connected or "/lab" not in reconnecting.io.namespaces:
            await asyncio.sleep(0.02)
    assert reconnecting.sid("/lab") not in sids
    await talk_python(reconnecting)
    if other is owner:
        assert (await socket.happened("connect"))["sid"] not in sids
    await talk_node(socket)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_owner_of_a_session_stopped(
    new_cluster: ClusterFactory, layer: str, kind: str
) -> None:
    cluster = await asyncio.to_thread(new_cluster, [kind, kind], layer=layer)
    with RawSession(cluster[0], cluster[1]) as raw:
        await asyncio.to_thread(raw.enter, "/lab")
        await asyncio.to_thread(cluster[0].stop)
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(5):
            started = loop.time()
            assert (await asyncio.to_thread(raw.get)).json() == UNKNOWN_SID
            took.append(loop.time() - started)
        assert min(took) < ANSWER_TIMEOUT, took  # the machine may stand still for one


async def test_other_servers_restart_while_a_client_polls(
    new_cluster: ClusterFactory, new_nginx: NginxFactory, layer: str
) -> None:
    """A server that has just started knows nobody yet, and gets requests of others' sessions."""
    cluster = await asyncio.to_thread(new_cluster, ["daphne", "daphne", "uvicorn"], layer=layer)
    proxy = new_nginx(*cluster)
    async with connected(proxy, "polling", "/lab") as client:
        owner = await owner_of(cluster, client.sid("/lab"))
        for server in cluster:
            if server is owner:
                continue
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            for number in range(20):
                assert await client.call("echo", number, namespace="/lab") == number
        assert client.left.empty()


@pytest.mark.parametrize(("first", "second"), [KINDS, KINDS[::-1]])
def test_servers_that_have_just_started(
    new_cluster: ClusterFactory, layer: str, first: str, second: str
) -> None:
    """A request that goes astray before the servers have met."""
    cluster = new_cluster([first, second], layer=layer)
    with RawSession(cluster[0], cluster[1]) as raw:
        raw.enter("/lab")
        assert raw.post('42/lab,1["echo","№1 🙂"]').text == "ok"
        assert raw.get().text == '43/lab,1["№1 🙂"]'
        assert (
            raw.post('451-/lab,2["echo",{"_placeholder":true,"num":0}]\x1ebAAH+/w==').text == "ok"
        )
        assert raw.get().text == '461-/lab,2[{"_placeholder":true,"num":0}]\x1ebAAH+/w=='
        text = "x" * 990_000
        assert raw.post(f'42/lab,3["echo","{text}"]').text == "ok"
        assert raw.get().text == f'43/lab,3["{text}"]'


async def test_what_a_server_sends_in_its_first_request(
    new_cluster: ClusterFactory, layer: str
) -> None:
    """daphne starts its hub with the first request, so that nobody has been heard by then."""
    cluster = await asyncio.to_thread(new_cluster, ["daphne", "daphne", "daphne"], layer=layer)
    async with connected(cluster[0], "websocket", "/cluster", auth={}) as client:
        async with connected(cluster[1], "websocket", "/cluster", auth={"say": "I came"}):
            assert await client.got("said", "/cluster") == "I came"
        path, body = f"/client/{client.sid('/cluster')}", {"event": "said", "args": ["over HTTP"]}
        answer = await asyncio.to_thread(cluster[2].post, path, json=body)
        assert answer.status_code == 200
        assert await client.got("said", "/cluster") == "over HTTP"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_stops_gives_polls_back(
    new_cluster: ClusterFactory, join: Connect, layer: str, kind: str
) -> None:
    """The session of another server goes on: its client is to poll again, elsewhere."""
    owner, other = await asyncio.to_thread(new_cluster, [kind, kind], layer=layer)
    with RawSession(owner, other) as raw:
        await asyncio.to_thread(raw.enter, "/lab")
        waiting = asyncio.create_task(asyncio.to_thread(raw.get))
        await poll_arrived(await join(other))
        assert (await asyncio.to_thread(raw.post, '42/lab,["note","x"]')).text == "ok"
        assert await asyncio.to_thread(other.stop) in CLEAN_EXITS
        answer = await waiting
        assert (answer.status_code, answer.text) == (200, "6")
        assert "Traceback" not in other.log

        path = f"{ENGINE}&sid={raw.sid}"
        assert owner.post(path, content='42/lab,1["note","y"]').text == "ok"
        assert owner.get(path).text == '43/lab,1[["x","y"]]'
