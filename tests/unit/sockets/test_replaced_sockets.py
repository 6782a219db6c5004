"""A second CONNECT to a namespace, without a DISCONNECT before it: the newer socket wins."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.urls import path

from realtime import ClientDisconnected, ConnectionRefused, EventError, NamespaceConsumer
from realtime.hub.hub import Hub
from realtime.models import Socket
from realtime.sockets import socket as sockets

from ..conftest import Serve
from ..probes import DEADLINE, Probe, Wire


def sid_of(frame: Any) -> str:
    """Return the sid of the answer to a CONNECT to "/"."""
    assert str(frame).startswith("40{"), frame
    return str(json.loads(frame[2:])["sid"])


async def nothing_runs(hub: Hub) -> None:
    """Wait until no hook or handler is at work."""
    async with asyncio.timeout(DEADLINE):
        while len(hub.tasks) > len(hub.connections):  # each has a reader
            await asyncio.sleep(0)


class Told(NamespaceConsumer):
    """Tells of its hooks. With {"wait": true} the first one passes through the gate."""

    probe: Probe

    async def connect(self, auth: dict[str, Any]) -> None:
        self.data["n"] = auth.get("n")
        self.probe.note(("connect", self.data["n"]))
        if auth.get("wait"):
            self.emit("held", self.data["n"])
            await self.probe.gate.wait()
            self.emit("late", self.data["n"])
            self.probe.note(("entered", self.data["n"]))
        if auth.get("refuse"):
            raise ConnectionRefused("no")
        if auth.get("close"):
            self.close()

    async def receive(self, event: str, *args: Any) -> Any:
        self.probe.note((event, self.data["n"]))
        return self.data["n"]

    async def disconnect(self, reason: str) -> None:
        self.emit("too late", self.data["n"])
        self.probe.note(("disconnect", self.data["n"], reason))


@pytest.fixture
def told(serve: Serve, probe: Probe) -> None:
    """That consumer is at "/", and at "/other"."""
    Told.probe = probe
    serve(Told, routes=[path("other/", Told.as_asgi())])


GONE = "client namespace disconnect"


async def test_a_connected_socket_is_replaced(
    told: None, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    wire: Wire = new_wire()
    first = sid_of(await wire.connect(auth='{"n":1}'))
    assert await probe.next() == ("connect", 1)
    second = sid_of(await wire.connect(auth='{"n":2}'))
    notes = [await probe.next(), await probe.next()]
    assert sorted(notes) == [("connect", 2), ("disconnect", 1, GONE)]
    assert first != second
    await nothing_runs(hub)
    assert list(hub.registry.sockets) == [second]
    wire.feed('427["ask"]')
    assert await wire.next() == "437[2]"
    assert wire.pending() == 0, "nobody tells the client that its socket ended"


async def test_a_socket_is_replaced_while_it_connects(
    told: None, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    wire: Wire = new_wire()
    wire.feed('40{"n":1,"wait":true}', '421["early"]', '40{"n":2}')
    assert await probe.next() == ("connect", 1)
    assert await probe.next() == ("connect", 2), "it waits for no older one"
    second = sid_of(await wire.next())
    probe.gate.set()
    assert [await probe.next() for _ in range(3)] == [
        ("entered", 1),
        ("early", 1),
        ("disconnect", 1, GONE),
    ]
    await nothing_runs(hub)
    assert list(hub.registry.sockets) == [second]
    assert wire.pending() == 0, "nothing of the older one reaches the client"


@pytest.mark.parametrize("end", ["refuse", "close"])
async def test_what_the_older_connect_says_is_not_told(
    told: None, probe: Probe, new_wire: Any, hub: Hub, end: str
) -> None:
    wire: Wire = new_wire()
    wire.feed(json.dumps({"n": 1, "wait": True, end: True}).join(["40", ""]), '42["early"]')
    assert await probe.next() == ("connect", 1)
    wire.feed('40{"n":2}')
    sid_of(await wire.next())
    assert await probe.next() == ("connect", 2)
    probe.gate.set()
    assert await probe.next() == ("entered", 1)
    await nothing_runs(hub)
    assert wire.pending() == 0
    notes = []
    while not await probe.empty():
        notes.append(await probe.next())
    if end == "refuse":
        assert notes == [], "who was not let in has no events, and does not leave"
    wire.feed('421["still here"]')
    assert await wire.next() == "431[2]"


async def test_many_times_in_a_row(told: None, probe: Probe, new_wire: Any, hub: Hub) -> None:
    wire: Wire = new_wire()
    sid_of(await wire.connect(auth='{"n":0}'))
    assert (await wire.connect("/other")).startswith("40/other,")
    wire.feed(*(f'40{{"n":{n},"wait":true}}' for n in range(1, 50)), '40{"n":50}')
    sid = sid_of(await wire.next())
    probe.gate.set()
    await nothing_runs(hub)
    notes = []
    while not await probe.empty():
        notes.append(await probe.next())
    for n in range(50):
        ends = [note for note in notes if note[:2] == ("disconnect", n)]
        assert ends == [("disconnect", n, GONE)]
        if n:
            assert notes.index(("entered", n)) < notes.index(ends[0]), "after its first hook"
    assert ("disconnect", 50, GONE) not in notes
    assert ("disconnect", None, GONE) not in notes, "the other namespace notices nothing"
    assert len(hub.registry.sockets) == 2
    assert sid in hub.registry.sockets
    assert wire.pending() == 0


async def test_an_answer_to_the_older_socket_is_none_to_the_newer(
    serve: Serve, probe: Probe, new_wire: Any
) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> None:
            try:
                probe.note(await self.acall("question"))
            except ClientDisconnected:
                probe.note("gone")

    serve(Main)
    for leave in ((), ("41",)):
        wire: Wire = new_wire()
        await wire.connect()
        wire.feed('42["go"]')
        first = str(await wire.next())
        assert first.endswith('["question"]')
        wire.feed(*leave)
        await wire.connect()
        assert await probe.next() == "gone"
        wire.feed('42["go"]')
        second = str(await wire.next())
        assert second.endswith('["question"]')
        assert first != second
        wire.feed("43" + first[2:].split("[", maxsplit=1)[0] + '["old"]')
        wire.feed("43" + second[2:].split("[", maxsplit=1)[0] + '["new"]')
        assert await probe.next() == "new"


async def test_a_question_in_a_connect_that_is_replaced_is_no_error(
    serve: Serve, probe: Probe, new_wire: Any, hub: Hub, records: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note("connecting")
            if auth:
                await self.acall("question", timeout=None)

    serve(Main)
    wire: Wire = new_wire()
    wire.feed('40{"ask":1}', "40")
    assert [await probe.next(), await probe.next()] == ["connecting"] * 2
    await nothing_runs(hub)
    assert [record.args[0] for record in records if record.levelname == "ERROR"] == []
    assert "unanswered" in [record.args[0] for record in records]


@pytest.mark.usefixtures("presence")
async def test_one_row_remains(told: None, new_wire: Any, hub: Hub) -> None:
    wire: Wire = new_wire()
    wire.feed(*(f'40{{"n":{n}}}' for n in range(20)))
    async with asyncio.timeout(DEADLINE):
        while True:
            sid = sid_of(await wire.next())
            await nothing_runs(hub)
            if not wire.pending():
                break
    await hub.observers.wait_written()
    assert [row.sid async for row in Socket.objects.all()] == [sid]


async def test_the_last_hook_waits_for_the_first_one(
    told: None, probe: Probe, new_wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "DISCONNECT_GRACE", 0.01)
    wire: Wire = new_wire()
    wire.feed('40{"n":1,"wait":true}', "41")
    assert await probe.next() == ("connect", 1)
    await asyncio.sleep(0.05)  # five times the grace
    assert await probe.empty()
    probe.gate.set()
    assert await probe.next() == ("entered", 1)
    assert await probe.next() == ("disconnect", 1, GONE)


@pytest.mark.parametrize("end", ["refuse", "close"])
async def test_events_of_a_refused_client_are_dropped(
    told: None, probe: Probe, new_wire: Any, hub: Hub, end: str
) -> None:
    wire: Wire = new_wire()
    wire.feed(json.dumps({"n": 1, "wait": True, end: True}).join(["40", ""]), '42["early"]')
    assert await probe.next() == ("connect", 1)
    while wire.unread():
        await asyncio.sleep(0)
    probe.gate.set()
    assert str(await wire.next()).startswith("44")
    await nothing_runs(hub)
    notes = []
    while not await probe.empty():
        notes.append(await probe.next())
    assert "early" not in [note[0] for note in notes]


async def test_an_event_error_in_connect_refuses(serve: Serve, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            if "room" in auth:
                self.join(auth["room"])
            raise EventError("not today", {"day": 1})

    serve(Main)
    wire: Wire = new_wire()
    assert await wire.connect() == '44{"message":"not today","data":{"day":1}}'
    assert "has a NUL character" in await wire.connect(auth='{"room":"a\\u0000b"}')


async def test_more_connects_than_the_rate_allows(
    serve: Serve, new_wire: Any, hub: Hub, records: list[Any]
) -> None:
    serve(NamespaceConsumer, routes=[path("other/", NamespaceConsumer.as_asgi())])
    hub.connect_rate = hub.connect_rate._replace(events=3, seconds=3600.0)
    wire: Wire = new_wire()
    for _ in range(2):
        sid_of(await wire.connect())
    assert (await wire.connect("/other")).startswith("40/other,")
    refusal = '{"message":"Too many connects"}'
    assert await wire.connect() == "44" + refusal
    assert await wire.connect("/nowhere") == "44/nowhere," + refusal
    await nothing_runs(hub)
    assert [socket.namespace for socket in hub.registry.sockets.values()] == ["/other"], (
        "what is refused has no older socket that the client knows of"
    )
    assert hub.counters.limited == 2
    assert [record.args[0] for record in records].count("refused") == 2
    sid_of(await new_wire().connect())
