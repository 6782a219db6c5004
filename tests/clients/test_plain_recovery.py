"""Plain WebSockets that drop and come back, spoken by the package `websockets` alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients.test_plain_websocket import Plain, connected
from tests.clients.wire import websocket
from tests.conftest import ClusterFactory, ServerFactory
from tests.live import KINDS, LiveServer

RECOVERY = {"SECONDS": 120}

# By what a client says what it comes back to.
WAYS = ("query", "message")


class Session(Plain):
    """A plain WebSocket that knows by what it comes back."""

    pid = ""

    async def receive(self) -> dict[str, Any]:
        frame = await super().receive()
        if "connected" in frame:
            assert frame.keys() == {"connected", "pid"}
            self.sid, self.pid = frame["connected"], frame["pid"]
        return frame

    async def said(self, count: int) -> list[Any]:
        """Return the last arguments of the next events, which are all "said"."""
        frames = [await self.receive() for _ in range(count)]
        assert {frame["event"] for frame in frames} <= {"said"}
        return [frame["args"][-1] for frame in frames]

    async def state(self) -> tuple[bool, bool]:
        """Return whether it has recovered, and whether that was lost; nothing else may come."""
        recovered, lost = (await self.call("recovery"))[0]
        return recovered, lost


@asynccontextmanager
async def session(
    server: LiveServer,
    old: Session | None = None,
    way: str = "query",
    route: str = "lab/",
    changed: dict[str, Any] | None = None,
    **auth: str,
) -> AsyncIterator[Session]:
    """Connect, as a client that comes back to what `old` had, in a way, `changed`."""
    back: dict[str, Any] = {}
    if old is not None:
        back = {"pid": old.pid, "offset": old.offset, **(changed or {})}
    if way == "query":
        auth |= {name: value for name, value in back.items() if value is not None}
    query = urlencode(auth)
    if way == "message":
        query = f"{query}&recover" if query else "recover"
    async with websocket(server, f"/ws/{route}?{query}") as connection:
        plain = Session(connection)
        if way == "message":
            await plain.send(recover=back)
        await plain.receive()
        yield plain


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared_server: ServerFactory) -> LiveServer:
    """A running server with recovery, shared with other tests."""
    return shared_server(request.param, RECOVERY=RECOVERY)


@pytest.fixture
def room() -> str:
    """A room that no other test is in."""
    return f"Room №1 {uuid4().hex}"


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_missed_comes_after_the_answer(
    server: LiveServer, room: str, way: str
) -> None:
    async with session(server) as other:
        async with session(server, way=way, room=room) as first:
            await other.call("say", [room], 0)
            assert await first.said(1) == [0]
        old = first
        for number in (1, 4):
            data = {"$bytes": "AAH+/w=="}
            await other.call("say", [room], number)
            await other.call("say", [old.sid], "for it alone", number + 1)
            await other.call("say", [room], data)
            async with session(server, old, way) as back:
                assert (back.sid, back.pid) == (first.sid, first.pid)
                assert await back.said(3) == [number, number + 1, data]
                assert await back.state() == (True, False)
                await other.call("say", [room], "new")
                assert await back.said(1) == ["new"]
                (answer,) = await back.call("whoami")
                assert answer["auth"] == {}
            old = back


@pytest.mark.parametrize("way", WAYS)
async def test_who_never_had_an_event_comes_back(server: LiveServer, room: str, way: str) -> None:
    async with session(server) as other:
        async with session(server, way=way, room=room) as old:
            pass
        await other.call("say", [room], 1)
        async with session(server, old, way) as back:
            assert back.sid == old.sid
            assert await back.said(1) == [1]
            assert await back.state() == (True, False)


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_site_sees(server: LiveServer, way: str) -> None:
    """Neither pid nor offset, in `auth` nor in the request."""
    async with session(server, way=way, tag="a", n="1") as old:
        await old.call("whoami")
    async with session(server, old, way, changed={"offset": None}, tag="a", n="ü&") as back:
        assert back.sid == old.sid
        (answer,) = await back.call("whoami")
        assert answer["auth"] == {"tag": "a", "n": "ü&"}
        (queries,) = await back.call("query_strings")
        marked = {"query": "", "message": "&recover"}[way]
        assert queries[0] == f"tag=a&n=%C3%BC%26{marked}"
        assert queries[1] == f"tag=a&n=%C3%BC%26{marked and '&recover='}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("noticed", [True, False])
async def test_two_drops_before_anything_is_read(
    server: LiveServer, room: str, way: str, noticed: bool
) -> None:
    """Of what is replayed the second time nothing is missing, nor doubled."""
    async with session(server) as other, session(server, way=way, room=room) as old:
        if noticed:
            await old.connection.close()
        await other.call("say", [room], 1)
        async with session(server, old, way) as unread:
            assert unread.sid == old.sid
            await other.call("say", [room], 2)
            # As if nothing but the answer had come: it has no offset yet.
            async with session(server, old, way) as back:
                assert await back.said(2) == [1, 2]
                assert await back.state() == (True, False)
            code, _ = await unread.closed()
            assert code == 1000
        if not noticed:
            assert (await old.closed())[0] == 1000


PIDS = {
    "of nobody": "x" * 26,
    "garbage": "nobody has this",
    "empty": "",
    "huge": "x" * 5_000,
    "not ascii": "№" * 26,
    "control characters": "\x00\n\r\t" * 8,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pid", PIDS.values(), ids=PIDS)
async def test_pids_that_are_none(server: LiveServer, way: str, pid: str) -> None:
    async with session(server) as old:
        pass
    since = len(server.log)
    async with session(server, old, way, changed={"pid": pid}) as new:
        assert new.sid != old.sid
        assert await new.state() == (False, len(pid) == 26 and pid.isascii())
    assert "Traceback" not in server.log[since:]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", ["", "no offset", "№", "x" * 5_000, "xxxxxx1"])
async def test_offsets_that_are_none(server: LiveServer, room: str, way: str, offset: str) -> None:
    """Where that was nobody knows: it is told that it may have missed something."""
    async with session(server) as other:
        async with session(server, room=room) as old:
            await other.call("say", [room], 0)
            await old.said(1)
        await other.call("say", [room], 1)
        async with session(server, old, way, changed={"offset": offset}) as new:
            if offset == "xxxxxx1":  # of a server where it has never been: all of it comes
                assert await new.said(2) == [0, 1]
                assert new.sid == old.sid
            else:
                assert await new.state() == (False, True)
                assert new.sid != old.sid


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "whoami", "id": 1},
        {"ack": 1},
        {"recover": None},
        {"recover": "pid"},
        {"recover": {"pid": 1}},
        {"recover": {"pid": ["a"]}},
        {"recover": {"pid": "a", "offset": {}}},
        {"recover": {"sid": "a"}},
        {"recover": {}, "event": "whoami"},
        {"recover": {}, "id": 1},
        [],
        "recover",
    ],
)
async def test_first_frames_that_do_not_say_it(server: LiveServer, frame: Any) -> None:
    async with websocket(server, "/ws/lab/?recover") as connection:
        await connection.send(json.dumps(frame))
        code, _ = await Plain(connection).closed()
        assert code == 4400


async def test_what_follows_the_first_frame_is_taken(server: LiveServer) -> None:
    async with websocket(server, "/ws/lab/?recover") as connection:
        plain = Session(connection)
        await plain.send(recover={"pid": None, "offset": None})
        await plain.send(event="echo", args=[1], id=1)
        assert "connected" in await plain.receive()
        assert await plain.receive() == {"ack": 1, "args": [1]}


async def test_it_is_no_other_frame(server: LiveServer) -> None:
    """The second one, or one of a client whose query has said nothing, is an error."""
    for query in ("", "?recover", "?recover=1"):
        async with websocket(server, f"/ws/lab/{query}") as connection:
            plain = Session(connection)
            if query == "?recover":
                await plain.send(recover={})
            await plain.receive()
            await plain.send(recover={})
            code, _ = await plain.closed()
            assert code == 4400


async def test_larger_than_any_first_frame(server: LiveServer) -> None:
    async with websocket(server, "/ws/lab/?recover") as connection:
        await connection.send(json.dumps({"recover": {"pid": "x" * 70_000}}))
        code, _ = await Plain(connection).closed()
        assert code == server.close_code(1009)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_first_frame_that_does_not_come(shared_server: ServerFactory, kind: str) -> None:
    server = shared_server(kind, RECOVERY=RECOVERY, CONNECT_TIMEOUT=0.5)
    async with session(server) as other, websocket(server, "/ws/lab/?recover") as connection:
        code, _ = await Plain(connection).closed()
        assert code == 4408
        assert await other.call("echo", "there") == ["there"]


async def test_unknown_namespaces_and_refusals(server: LiveServer) -> None:
    async with websocket(server, "/ws/nowhere/?recover") as connection:
        assert (await Plain(connection).closed())[0] == 4404
    async with websocket(server, "/ws/refused/?recover") as connection:
        await connection.send('{"recover":{}}')
        assert (await Plain(connection).closed())[0] == 4401


@pytest.mark.parametrize("kind", KINDS)
async def test_without_recovery(shared_server: ServerFactory, kind: str) -> None:
    """Clients that would come back go on, and see that they are new."""
    server = shared_server(kind, RECOVERY=None)
    async with connected(server, "lab/?recover&pid=7") as plain:
        await plain.send(recover={"pid": "x" * 26})
        (answer,) = await plain.call("whoami")
        assert answer["auth"] == {"recover": "", "pid": "7"}


@pytest.mark.parametrize("way", WAYS)
async def test_namespaces_are_not_mixed_up(server: LiveServer, way: str) -> None:
    async with session(server) as old:
        pass
    async with session(server, old, way, route="orders/") as other:
        assert other.sid != old.sid
    async with session(server, old, way) as back:
        assert back.sid == old.sid


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("noticed", [True, False])
async def test_back_at_another_process(
    new_cluster: ClusterFactory, layer: str, room: str, way: str, noticed: bool
) -> None:
    cluster = new_cluster(KINDS[:2], layer=layer, realtime={"RECOVERY": RECOVERY})
    one, two = cluster
    async with session(one) as other, session(one, way=way, room=room) as old:
        await other.call("say", [room], 0)
        assert await old.said(1) == [0]
        if noticed:
            await old.connection.close()
        await other.call("say", [room], 1)
        async with session(two, old, way) as back:
            assert (back.sid, back.pid) == (old.sid, old.pid)
            assert await back.said(1) == [1]
            assert await back.state() == (True, False)
            await other.call("say", [room], 2)
            assert await back.said(1) == [2]
        await other.call("say", [old.sid], {"$bytes": "AAH+/w=="})
        async with session(one, back, way) as home:
            assert home.sid == old.sid
            assert await home.said(1) == [{"$bytes": "AAH+/w=="}]
            assert await home.state() == (True, False)


LOGGING = {
    "uvicorn": ["--log-level", "debug"],
    "daphne": ["-v", "1"],
    "gunicorn-uvicorn": ["--access-logfile", "-", "--log-level", "debug"],
}


@pytest.mark.parametrize("kind", LOGGING)
async def test_a_pid_is_in_no_log(new_server: ServerFactory, kind: str) -> None:
    server = new_server(
        kind,
        realtime={"RECOVERY": RECOVERY},
        env={"LOG_LEVEL": "DEBUG"},
        options=LOGGING[kind],
    )
    async with session(server) as old:
        pass
    secret = old.pid[6:]
    async with session(server, old, "query") as back:
        assert back.sid == old.sid
        await back.connection.send('{"recover":{"pid":"' + old.pid + '"}}')  # it is no place for it
        await back.closed()
    query = urlencode({"pid": old.pid})
    async with websocket(server, f"/ws/nowhere/?{query}") as connection:
        assert (await Plain(connection).closed())[0] == 4404
    with pytest.raises(InvalidStatus, match="403"):
        await websocket(server, f"/ws/lab/?{query}", origin="https://foreign.example")
    async with websocket(server, f"/ws/lab/?{query}&recover") as connection:
        await connection.send('{"recover":{"pid":["' + old.pid + '"]}}')
        assert (await Plain(connection).closed())[0] == 4400
    server.terminate()
    await server.logged("parse-error")
    assert secret not in server.log
