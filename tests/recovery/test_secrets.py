"""What a session is recovered by is a secret, and not enough: the user has to be the same."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients.wire import Wire, connect_packet, eventually, open_wire
from tests.conftest import ServerFactory
from tests.live import LiveServer
from tests.recovery.travellers import DRIVER, NAMESPACE, Driver, Travels, driver_at

HEAD = re.compile(r"(4[0-9])(/[^,]*),(.*)", re.DOTALL)

GARBAGE: dict[str, Any] = {
    "empty": "",
    "garbage": "nobody has this",
    "spaces": " " * 40,
    "huge": "x" * 30_000,
    "not ascii": "№" * 32,
    "half a surrogate pair": "\ud800" * 32,
    "control characters": "\x00\n\r\t" * 8,
    "number": 7,
    "list": ["a"],
    "object": {"$gt": ""},
    "true": True,
}


class Session:
    """A socket of "/recovery" on a raw connection."""

    def __init__(self, wire: Wire, sid: str, pid: str) -> None:
        self.wire = wire
        self.sid = sid
        self.pid = pid
        self.offset = ""

    def auth(self, **changed: Any) -> dict[str, Any]:
        """Return what it recovers by."""
        return {"pid": self.pid, "offset": self.offset, **changed}

    async def read(self) -> Any:
        """Return the first argument of the next event, and remember its offset."""
        kind, namespace, body = split(await self.wire.receive())
        assert (kind, namespace) == ("42", NAMESPACE), (kind, namespace, body)
        args = json.loads(body)
        self.offset = args[-1]
        return args[1]


def split(frame: Any) -> tuple[str, str, str]:
    """Return a packet's type, namespace and the rest."""
    match = HEAD.fullmatch(frame)
    assert match, frame
    return match[1], match[2], match[3]


@asynccontextmanager
async def entering(
    server: LiveServer,
    auth: dict[str, Any],
    *,
    cookie: str | None = None,
    namespace: str = NAMESPACE,
) -> AsyncIterator[Session]:
    """Connect to a namespace; the answer must be the first frame."""
    headers = {"Cookie": f"sessionid={cookie}"} if cookie else {}
    async with open_wire(server, additional_headers=headers) as wire:
        await wire.send(connect_packet(namespace, auth))
        kind, answered, body = split(await wire.receive())
        assert (kind, answered) == ("40", namespace), body
        answer = json.loads(body)
        yield Session(wire, answer["sid"], answer["pid"])


async def hears_nothing_more(wire: Wire) -> None:
    """See that nothing is on the way to a connection: what is asked for now comes next."""
    await wire.send(connect_packet(DRIVER))
    assert split(await wire.receive())[:2] == ("40", DRIVER)


async def test_recovering_on_the_wire(server: LiveServer, driver: Driver, room: str) -> None:
    async with entering(server, {"rooms": [room]}) as session:
        await driver.emit([room], 0)
        assert await session.read() == 0
    await driver.count([room], 1, 3)
    async with entering(server, session.auth()) as back:
        assert (back.sid, back.pid) == (session.sid, session.pid)
        await driver.emit([room], 3)
        assert [await back.read() for _ in range(3)] == [1, 2, 3]
        await hears_nothing_more(back.wire)


async def test_recovering_without_an_offset(server: LiveServer, driver: Driver, room: str) -> None:
    """A client that has had no event has none."""
    async with entering(server, {"rooms": [room]}) as session:
        pass
    await driver.emit([room], 1)
    async with entering(server, {"pid": session.pid}) as back:
        assert back.sid == session.sid
        assert await back.read() == 1


@pytest.mark.parametrize("pid", GARBAGE.values(), ids=GARBAGE)
async def test_pids_that_are_none(server: LiveServer, pid: Any) -> None:
    """They are new clients, to whom nothing is said about that."""
    since = len(server.log)
    for auth in ({"pid": pid}, {"pid": pid, "offset": pid}, {"pid": pid, "offset": "a-1"}):
        async with entering(server, auth) as session:
            assert pid not in (session.sid, session.pid)
            await hears_nothing_more(session.wire)
    assert "Traceback" not in server.log[since:]


@pytest.mark.parametrize("offset", GARBAGE.values(), ids=GARBAGE)
async def test_offsets_that_are_none(
    server: LiveServer, driver: Driver, room: str, offset: Any
) -> None:
    """Where it was nobody knows: so it is told that something is missing."""
    since = len(server.log)
    async with entering(server, {"rooms": [room]}) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.emit([room], 1)
    async with entering(server, session.auth(offset=offset)) as back:
        assert back.sid != session.sid
        await hears_nothing_more(back.wire)
    assert "Traceback" not in server.log[since:]


async def test_pids_that_are_nearly_right(server: LiveServer, driver: Driver) -> None:
    async with entering(server, {}) as session:
        await driver.emit([session.sid], 0)
        await session.read()
    pid = session.pid
    last = "A" if pid[-1] != "A" else "B"
    wrong = [
        session.sid,
        pid[:-1],
        pid[:-1] + last,
        pid + "A",
        pid[:-20],
        pid[-20:],
        pid.swapcase(),
        session.sid + pid,
    ]
    for each in wrong:
        async with entering(server, session.auth(pid=each)) as other:
            assert session.sid != other.sid
            assert session.pid != other.pid
    async with entering(server, session.auth()) as back:
        assert back.sid == session.sid, "nobody took it"


async def test_a_pid_of_another_namespace(server: LiveServer, driver: Driver, room: str) -> None:
    async with entering(server, {"rooms": [room]}) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.emit([room], 1)
    async with entering(server, session.auth(), namespace="/recovery/other") as other:
        assert other.sid != session.sid
        await hears_nothing_more(other.wire)
    async with entering(server, session.auth()) as back:
        assert back.sid == session.sid
        assert await back.read() == 1


async def test_a_pid_of_a_connection_that_is_alive(
    server: LiveServer, driver: Driver, room: str
) -> None:
    """Who comes last has the socket; what had it is closed, and hears nothing more."""
    async with entering(server, {"rooms": [room]}) as first:
        await driver.emit([room], 0)
        assert await first.read() == 0
        async with entering(server, first.auth()) as second:
            assert second.sid == first.sid
            await driver.emit([room], 1)
            assert await second.read() == 1
            _, frames = await first.wire.closed()
            assert not [frame for frame in frames if '"n",1' in str(frame)]
            await driver.emit([room], 2)
            assert await second.read() == 2
            await hears_nothing_more(second.wire)


async def test_two_at_once_with_one_pid(server: LiveServer, driver: Driver, room: str) -> None:
    """One of them has the socket in the end, and what the other had is closed."""
    async with entering(server, {"rooms": [room]}) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.emit([room], 1)
    async with open_wire(server) as one, open_wire(server) as two:
        for wire in (one, two):
            await wire.send(connect_packet(NAMESPACE, session.auth()))
        await frames_until_quiet(one)
        await frames_until_quiet(two)
        await driver.emit([session.sid], "last")
        heard = [await frames_until_quiet(wire) for wire in (one, two)]
        assert sum('"last"' in frame for frames in heard for frame in frames) == 1
    assert "Traceback" not in server.log


async def frames_until_quiet(wire: Wire) -> list[str]:
    """Return what came to a connection, to its end or until it has answered."""
    frames: list[str] = []
    with suppress(ConnectionClosed):
        await wire.send(connect_packet(DRIVER))
        while not (frame := str(await wire.receive())).startswith(f"40{DRIVER}"):
            frames.append(frame)
    return frames


# Whose it is


@pytest.mark.parametrize("thief", ["another user", "nobody"])
async def test_a_stolen_pid(server: LiveServer, driver: Driver, room: str, thief: str) -> None:
    """It is of no use to others, and still of use to its owner."""
    owner = await driver.do("log_in", f"owner {room}")
    other = await driver.do("log_in", f"thief {room}") if thief == "another user" else None
    async with entering(server, {"rooms": [room]}, cookie=owner) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.emit([room], 1)
    async with entering(server, session.auth(), cookie=other) as stolen:
        assert (stolen.sid == session.sid, stolen.pid == session.pid) == (False, False)
        await hears_nothing_more(stolen.wire)
    async with entering(server, session.auth(), cookie=owner) as back:
        assert back.sid == session.sid
        assert await back.read() == 1
        # Nor is it of use while its owner is there, who is not disturbed.
        async with entering(server, back.auth(), cookie=other) as stolen:
            assert stolen.sid != session.sid
        await driver.emit([room], 2)
        assert await back.read() == 2


@pytest.mark.parametrize("how", ["logged out", "changed password"])
async def test_logged_out_while_away(
    server: LiveServer, driver: Driver, room: str, how: str
) -> None:
    """The session has ended, also for who has logged in again."""
    name = f"user {room}"
    key = await driver.do("log_in", name)
    async with entering(server, {"rooms": [room]}, cookie=key) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.emit([room], 1)
    if how == "logged out":
        await driver.do("log_out", key)
    else:
        await driver.do("change_password", name)
    again = await driver.do("log_in", name)
    for cookie in (key, again):
        async with entering(server, session.auth(), cookie=cookie) as back:
            assert back.sid != session.sid
            await hears_nothing_more(back.wire)


async def test_who_may_no_longer_come_in(server: LiveServer, driver: Driver, room: str) -> None:
    """CONNECT_ERROR is all that is said."""
    async with entering(server, {"rooms": [room]}) as session:
        await driver.emit([room], 0)
        await session.read()
    await driver.count([room], 1, 4)
    async with open_wire(server) as wire:
        await wire.send(connect_packet(NAMESPACE, session.auth(refuse=True)))
        kind, _, body = split(await wire.receive())
        assert (kind, json.loads(body)["data"]) == ("44", {"code": 403})
        await hears_nothing_more(wire)


# Where it is not shown


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_pid_is_in_no_log_nor_table(
    new_server: ServerFactory, kind: str, travel: Travels, room: str
) -> None:
    server = new_server(kind, realtime={"RECOVERY": {"SECONDS": 120}}, env={"LOG_LEVEL": "DEBUG"})
    async with driver_at(server) as driver:
        client = await travel(server, room, way="upgrade")
        for number in range(3):
            async with client.away(noticed=bool(number)):
                await driver.emit([room], number)
        await client.got(0, 1, 2)
        session = await client.session()
        secret = session["pid"][-20:]
        async with entering(server, {"pid": session["pid"], "offset": session.get("offset")}):
            pass
        await eventually(lambda: client.sid in server.log)
        assert secret not in server.log
        for path in ("/clients-count", f"/client/{client.sid}"):
            assert secret not in server.get(path).text
        for file in Path(server.database.removeprefix("sqlite:///")).parent.glob(
            Path(server.database).name + "*"
        ):
            assert secret.encode() not in file.read_bytes(), file
