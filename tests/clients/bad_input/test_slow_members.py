"""Members of a room who never read, beside others who read everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.clients.bad_input.conftest import MEBIBYTE, grows_little
from tests.clients.wire import DeafClient, Wire, engine_path, eventually, open_socket
from tests.live import LiveServer

ROOM = "half deaf"
READING, DEAF = 10, 8  # of the deaf ones, half are plain WebSockets
BATCH, SIZE = 20, 20_000
TEXT = "x" * SIZE

# What a deaf client is sent at most until it has to be cut: its outbox, and what the system keeps.
MOST_BATCHES = 40

# The server's own growth, whoever its clients are.
SLACK = 16 * MEBIBYTE


class Room:
    """A room whose readers get whatever its source sends, while some members read nothing."""

    def __init__(self, source: Wire, readers: list[Wire]) -> None:
        self.source = source
        self.readers = readers

    async def flood(self, count: int = BATCH, volatile: bool = False) -> None:
        """Send numbered messages, and assert that every reader gets each of them in order."""
        await self.source.call("/lab", "flood", count, SIZE, ROOM, volatile)
        expected = [f'42/lab,["flood",{n},"{TEXT}"]' for n in range(count)]
        for reader in self.readers:
            assert await reader.receive_many(count) == expected

    async def count(self, what: str) -> int:
        """Return one of the server's counters."""
        report: dict[str, int] = await self.source.call("/lab", "report")
        return report[what]


@asynccontextmanager
async def open_room(server: LiveServer) -> AsyncIterator[Room]:
    """Open a room with its readers."""
    async with AsyncExitStack() as stack:
        source, _ = await stack.enter_async_context(open_socket(server))
        members = [open_socket(server, auth={"room": ROOM}) for _ in range(READING)]
        readers = [(await stack.enter_async_context(member))[0] for member in members]
        yield Room(source, readers)


async def enter_deaf(server: LiveServer) -> tuple[list[DeafClient], list[str]]:
    """Let deaf clients enter the room; return them and the sids of their sockets."""
    clients, sids = [], []
    for number in range(DEAF):
        if number % 2:
            client = await DeafClient.open(server, engine_path())
            sids.append(await client.join_namespace("/lab", {"room": ROOM}))
        else:
            client = await DeafClient.open(server, "/ws/lab/")
            sids.append((await client.read_frame()).split('"')[3])
            client.send(f'{{"event": "join", "args": ["{ROOM}"], "id": 1}}')
            await client.read_frame()
        clients.append(client)
    return clients, sids


async def test_the_others_lose_nothing(server: LiveServer) -> None:
    """Deaf clients lose volatile messages first, and are cut then, at the cost of their outbox."""
    if server.kind == "daphne" and not server.known:
        pytest.skip("daphne's send never waits, and says of nothing that it was not read")
    since = len(server.log)
    async with open_room(server) as room:
        for _ in range(5):  # for what the server makes once
            await room.flood()
        cut = await room.count("cut")
        clients, sids = await enter_deaf(server)

        async def drops_all_volatile() -> bool:
            await room.flood(2)
            before = await room.count("dropped")
            await room.flood(1, volatile=True)
            return await room.count("dropped") == before + DEAF

        async def flood_until_all_are_cut() -> None:
            await eventually(drops_all_volatile, timeout=60, interval=0)
            assert await room.count("cut") == cut
            for _ in range(MOST_BATCHES):
                await room.flood()
                if await room.count("cut") == cut + DEAF:
                    return
            raise AssertionError(f"{await room.count('cut') - cut} of {DEAF} were cut")

        await grows_little(server, flood_until_all_are_cut, DEAF * MEBIBYTE + SLACK)
        for sid in sids:
            await server.logged(rf'disconnect .*{sid}.*reason="transport error"', since=since)
        log = server.log[since:]
        assert log.count("slow-client") == DEAF
        assert log.count("slow-client connection=") == DEAF
        for client in clients:
            client.abort()
        await room.flood()
