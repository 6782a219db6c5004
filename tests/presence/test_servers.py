"""Who is connected, counted in processes that do not have the clients."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import psutil
import pytest

from realtime.presence.writer import PATIENCE
from tests.clients.wire import DEADLINE, Polling, Wire, eventually, http_client, open_socket
from tests.conftest import ServerFactory
from tests.live import LiveServer, empty_database, migrate, new_database
from tests.services import MariaDB, PostgreSQL

# Seconds, so that tests need not wait long for a server to be taken for dead, and so that a machine
# that stands still for a moment kills none.
HEARTBEAT = 1.0
LIFETIME = 3 * HEARTBEAT

Pair = tuple[LiveServer, LiveServer]


DATABASES = ("sqlite", "postgresql", "mariadb")


def database_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the ``DATABASE_URL`` of a new migrated database of a kind."""
    return new_database() if kind == "sqlite" else request.getfixturevalue(kind).new_database()


@pytest.fixture(scope="module", params=DATABASES)
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A daphne and a uvicorn that share a database of each kind in turn."""
    database = database_of(request.param, request)
    options: dict[str, Any] = {"database": database, "realtime": {"SERVER_HEARTBEAT": HEARTBEAT}}
    with LiveServer("daphne", **options) as daphne, LiveServer("uvicorn", **options) as uvicorn:
        yield daphne, uvicorn


@pytest.fixture
async def pair(servers: Pair) -> Pair:
    """Both, running, and nobody connected."""
    for server in servers:
        if not server.running:
            server.start()
    await eventually(lambda: all(count(server) == 0 for server in servers))
    return servers


def count(server: LiveServer, query: str = "") -> Any:
    """Return what a server's count view says; None where it says that it cannot."""
    response = server.get(f"/clients-count{query}")
    if response.status_code == 503:
        return None
    assert response.status_code == 200, response.text
    return response.json()["count"]


async def connect(stack: AsyncExitStack, server: LiveServer, *rooms: str) -> Wire:
    """Return a client of "/lab" in these rooms."""
    wire, _ = await stack.enter_async_context(open_socket(server, "/lab"))
    for room in rooms:
        await wire.call("/lab", "join", room)
    return wire


@pytest.mark.parametrize("turn", [1, -1], ids=["daphne", "uvicorn"])
async def test_another_process_counts_right_after_the_answer(pair: Pair, turn: int) -> None:
    server, other = pair[::turn]
    start = [len(server.log), len(other.log)]
    for number in range(10):
        async with open_socket(server, "/lab") as (wire, _):
            assert count(other) == count(other, "?namespace=/lab") == 1
            await wire.call("/lab", "join", f"room {number}")
            assert count(other, f"?namespace=/lab&room=room {number}") == 1
            await wire.call("/lab", "leave", f"room {number}")
            assert count(other, f"?namespace=/lab&room=room {number}") == 0
            since = len(server.log)
        await server.logged("disconnect namespace=/lab", since=since)
        assert count(other) == 0
    assert "presence-" not in server.log[start[0] :] + other.log[start[1] :]


@pytest.mark.parametrize("turn", [1, -1], ids=["daphne", "uvicorn"])
async def test_a_killed_server_stops_counting_by_time_alone(pair: Pair, turn: int) -> None:
    server, other = pair[::turn]
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await connect(stack, server, "a")
        await connect(stack, other, "a")
        assert count(other, "?namespace=/lab&room=a") == 4
        since = len(other.log)
        server.kill()
        killed = time.monotonic()
        await eventually(lambda: count(other) == 1, timeout=LIFETIME + 20)
        assert time.monotonic() - killed > LIFETIME / 2  # nobody can know sooner
        assert count(other, "?namespace=/lab&room=a") == 1
        await other.logged("presence-swept", since=since)
        assert count(other) == 1


@pytest.mark.parametrize("turn", [1, -1], ids=["daphne", "uvicorn"])
async def test_a_server_that_stops_counts_no_more_at_once(pair: Pair, turn: int) -> None:
    server, other = pair[::turn]
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await connect(stack, server, "a")
        assert count(other) == 20
        since = len(other.log)
        await asyncio.to_thread(server.stop)
        assert count(other) == 0
    assert "presence-left-behind" not in server.log
    assert "presence-swept" not in other.log[since:]


async def test_a_server_that_paused_is_back_with_its_clients(pair: Pair) -> None:
    server, other = pair
    async with AsyncExitStack() as stack:
        wire = await connect(stack, server, "a")
        since = len(other.log)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await other.logged("presence-swept", timeout=30, since=since)
            assert count(other) == 0
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await eventually(lambda: count(other, "?namespace=/lab&room=a") == 1)
        await wire.call("/lab", "join", "b")
        assert count(other, "?namespace=/lab&room=b") == 1
    await eventually(lambda: count(other) == 0)


async def test_a_transport_that_changes_is_the_same_client(pair: Pair) -> None:
    server, other = pair
    async with http_client(server) as http:
        polling = await Polling.open(http)
        await polling.join_namespace("/lab")
        assert count(other) == 1


@pytest.mark.parametrize("which", DATABASES)
async def test_three_processes_write_to_one_database_under_load(
    which: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    database = database_of(which, request)
    servers = [new_server(kind, database=database) for kind in ("daphne", "uvicorn", "daphne")]

    async def come_and_go(server: LiveServer, turns: int) -> None:
        for turn in range(turns):
            async with open_socket(server, "/lab") as (wire, _):
                for room in ("all", f"room {turn}"):
                    await wire.call("/lab", "join", room)
                await wire.call("/lab", "leave", "all")

    async with AsyncExitStack() as stack:
        await asyncio.gather(
            *(connect(stack, server, "all") for server in servers for _ in range(40)),
            *(come_and_go(server, 5) for server in servers for _ in range(20)),
        )
        for server in servers:
            await eventually(lambda server=server: count(server) == 120)  # type: ignore[misc]
            assert count(server, "?namespace=/lab&room=all") == 120
    for server in servers:
        await eventually(lambda server=server: count(server) == 0)  # type: ignore[misc]
        assert "locked" not in server.log
        assert "presence-" not in server.log


# What goes wrong


@pytest.mark.parametrize("new_service", ["new_postgresql", "new_mariadb"])
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_database_that_stops_and_starts(
    kind: str, new_service: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    service: PostgreSQL | MariaDB = request.getfixturevalue(new_service)
    database = service.new_database()
    server = new_server(kind, database=database, realtime={"SERVER_HEARTBEAT": HEARTBEAT})
    async with AsyncExitStack() as stack:
        before = await connect(stack, server, "a")
        assert count(server) == 1
        await asyncio.to_thread(service.stop)
        during = await connect(stack, server, "a")
        assert await before.call("/lab", "join", "b") == ["a", "b"]
        await during.send('42/lab,["say",["a"],"hello"]')
        assert await before.receive() == '42/lab,["said","hello"]'
        response = server.get("/clients-count")
        assert response.status_code == 503
        assert "database" in response.json()["message"]
        await server.logged("presence-down")
        since = len(server.log)
        start = time.monotonic()
        for _ in range(10):
            await connect(stack, server)
        # Nobody waits for what is known to be away.
        assert time.monotonic() - start < 5 * PATIENCE
        await asyncio.to_thread(service.start)
        await server.logged("presence-back", since=since)
        assert count(server) == 12
        assert count(server, "?namespace=/lab&room=a") == 2
        assert count(server, "?namespace=/lab&room=b") == 1
        assert server.log.count("presence-down") == 1
    await eventually(lambda: count(server) == 0)
    assert "Traceback" not in server.log[since:]


class Counter:
    """Asks servers for the number of clients again and again, and keeps what they answer."""

    def __init__(self, *servers: LiveServer) -> None:
        self.counts: list[int] = []
        self.longest = 0.0
        self.last: dict[int, int] = {}
        self._asking = [asyncio.create_task(self._ask(server)) for server in servers]

    async def _ask(self, server: LiveServer) -> None:
        async with http_client(server) as http:
            while True:
                start = time.monotonic()
                response = await http.get("/clients-count")
                self.longest = max(self.longest, time.monotonic() - start)
                self.last[server.port] = response.status_code
                if response.status_code == 200:
                    self.counts.append(response.json()["count"])
                else:
                    assert response.status_code == 503, response.text
                await asyncio.sleep(0.02)

    def all_answer(self, status: int) -> bool:
        """Tell whether that is what each server has answered last."""
        assert not any(task.done() for task in self._asking)
        return len(self.last) == len(self._asking) and set(self.last.values()) == {status}

    async def stop(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
@pytest.mark.parametrize("new_service", ["new_postgresql", "new_mariadb"])
async def test_counts_are_right_or_none_while_a_database_comes_back(
    how: str, new_service: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    service: PostgreSQL | MariaDB = request.getfixturevalue(new_service)
    options: dict[str, Any] = {
        "database": service.new_database(),
        "realtime": {"SERVER_HEARTBEAT": HEARTBEAT},
    }
    servers = [new_server("daphne", **options), new_server("uvicorn", **options)]
    async with AsyncExitStack() as stack:
        for server in servers:
            for _ in range(20):
                await connect(stack, server, "a")
        counter = Counter(*servers)
        await eventually(lambda: counter.all_answer(200))
        if how == "stopped":
            await asyncio.to_thread(service.stop)
            await asyncio.sleep(LIFETIME + 1)  # so that all servers are dead by their rows
            assert counter.all_answer(503)
            await asyncio.to_thread(service.start)
        else:
            with service.frozen():
                await eventually(lambda: counter.all_answer(503))
                await asyncio.sleep(LIFETIME + 1)
                assert counter.all_answer(503)
        await eventually(lambda: counter.all_answer(200))
        await asyncio.sleep(LIFETIME)
        await counter.stop()
        assert set(counter.counts) == {40}
        assert counter.longest < DEADLINE, "nobody waits for a database that is away"


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_disk_that_is_full(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind, realtime={"SERVER_HEARTBEAT": HEARTBEAT})
    async with AsyncExitStack() as stack:
        gone = AsyncExitStack()
        for each in (stack, gone):
            for _ in range(15):
                await connect(each, server, "a")
        counter = Counter(server)
        await eventually(lambda: counter.all_answer(200))
        process = psutil.Process(server.pid)
        _, most = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (1, most))  # no file takes a byte more
        await gone.aclose()
        await eventually(lambda: counter.all_answer(503))
        counter.counts.clear()
        await asyncio.sleep(LIFETIME + 1)
        assert not counter.counts
        process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        await eventually(lambda: counter.all_answer(200))
        await counter.stop()
        assert set(counter.counts) == {15}


class Swallowing:
    """A way to a database on which a test lets everything be lost from some moment on."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._silent: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def __aenter__(self) -> Swallowing:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()

    def swallow(self) -> None:
        """Lose what comes on the connections of now; new ones are served."""
        self._silent |= self._open

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, answers = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, answers}
        await asyncio.gather(self._pass(reader, answers), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if writer not in self._silent:
                writer.write(data)
        if writer not in self._silent:
            writer.close()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
@pytest.mark.parametrize("which", ["postgresql", "mariadb"])
async def test_a_connection_that_goes_silent(
    kind: str, which: str, new_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    service: PostgreSQL | MariaDB = request.getfixturevalue(which)
    database = service.new_database()
    async with Swallowing(service.port) as way, AsyncExitStack() as stack:
        server = new_server(
            kind,
            database=database.replace(f":{service.port}/", f":{way.port}/"),
            realtime={"SERVER_HEARTBEAT": HEARTBEAT},
        )
        for _ in range(5):
            await connect(stack, server, "a")
        assert await asyncio.to_thread(count, server) == 5
        way.swallow()
        await connect(stack, server, "a")
        await server.logged("presence-given-up", timeout=LIFETIME + 20)
        await server.logged("presence-back", timeout=20)
        await eventually(
            lambda: asyncio.to_thread(lambda: server.get("/clients-count").status_code == 200)
        )
        assert await asyncio.to_thread(count, server) == 6


async def test_a_site_that_was_not_migrated(new_server: ServerFactory) -> None:
    database = empty_database()
    server = new_server("daphne", database=database)
    async with open_socket(server, "/lab") as (wire, _):
        assert await wire.call("/lab", "echo", 1) == 1
        await server.logged('presence-down .*hint="run manage.py migrate"')
        assert server.get("/clients-count").status_code == 503
        await asyncio.to_thread(migrate, database)
        await server.logged("presence-back")
        assert count(server) == 1


async def test_presence_that_is_off(new_server: ServerFactory) -> None:
    server = new_server("daphne", database=empty_database(), realtime={"PRESENCE": False})
    async with open_socket(server, "/lab") as (wire, _):
        assert await wire.call("/lab", "join", "a") == ["a"]
        response = server.get("/clients-count")
        assert response.status_code == 503
        assert "PRESENCE" in response.json()["message"]
    await server.logged("disconnect namespace=/lab")
    assert "presence-" not in server.log
