"""Events that nobody claims: they are not acknowledged, so that the client's timeout works."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.urls import path

from realtime import NamespaceConsumer, event
from realtime.hub.hub import Hub
from realtime.sockets.inbox import Event
from realtime.testing import MemoryWriter
from realtime.transports.plain import PlainConnection

from ..conftest import Serve
from ..probes import Wire


class Main(NamespaceConsumer):
    """Claims two events; the second one for members of a room alone."""

    @event
    async def last(self) -> None:
        """Answer, after all that came before."""

    @event("for members", room="members")
    async def for_members(self) -> str:
        return "member"


class Parent(Main):
    async def receive(self, event: str, *args: Any) -> None:
        """Take what comes."""


class Child(Parent):
    """Inherits an override."""


class Receives:
    async def receive(self, event: str, *args: Any) -> None:
        """Take what comes."""


class Mixed(Receives, Main):
    """Has one from a mixin."""


class Plain(Main):
    def receive(self, event: str, *args: Any) -> None:
        """Take what comes in a thread."""


class Calls(Main):
    async def receive(self, event: str, *args: Any) -> None:
        await super().receive(event, *args)


class Around(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        return await super().handle(event, args)


class Swallows(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        await super().handle(event, args)


class Answers(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        return "handled", await super().handle(event, args)


class Handles(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        """Take all events."""


class Renames(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        await super().handle(event, args)
        return await super().handle("last", [])


class Reports(Main):
    async def handle(self, event: str, args: list[Any]) -> Any:
        result = await super().handle(event, args)
        self.emit("handled", event)
        return result


async def answers(wire: Wire, name: str) -> list[Any]:
    """Return what answers an event, and what comes of the one after it."""
    wire.feed(f'421["{name}",1]', '422["last"]')
    frames = [await wire.next()]
    while not str(frames[-1]).startswith("432"):
        frames.append(await wire.next())
    return frames


@pytest.mark.parametrize("name", ["unknown", "for members", "Last"])
@pytest.mark.parametrize("consumer", [Main, Around, Swallows])
async def test_they_are_not_acknowledged(
    consumer: type[NamespaceConsumer],
    name: str,
    serve: Serve,
    new_wire: Any,
    hub: Hub,
    records: list[Any],
) -> None:
    serve(consumer)
    wire: Wire = new_wire()
    await wire.connect()
    for _ in range(2):
        assert await answers(wire, name) == ["432[]"]
    found = [each for each in records if each.args[0] == "unclaimed"]
    assert [each.levelno for each in found] == [logging.DEBUG] * 2
    assert {each.realtime["event"] for each in found} == {name}
    assert hub.counters.events_in == 4
    assert not [each for each in records if each.levelno > logging.INFO]


@pytest.mark.parametrize("consumer", [Parent, Child, Mixed, Plain, Calls, Handles, Renames])
async def test_whoever_overrides_claims_all(
    consumer: type[NamespaceConsumer], serve: Serve, new_wire: Any, records: list[Any]
) -> None:
    serve(consumer)
    wire: Wire = new_wire()
    await wire.connect()
    assert await answers(wire, "unknown") == ["431[]", "432[]"]
    assert not [each for each in records if each.args[0] == "unclaimed"]


async def test_an_override_of_handle_may_answer(serve: Serve, new_wire: Any) -> None:
    serve(Answers)
    wire: Wire = new_wire()
    await wire.connect()
    assert await answers(wire, "unknown") == ['431["handled",null]', '432["handled",null]']


async def test_what_an_override_of_handle_does_beside(serve: Serve, new_wire: Any) -> None:
    serve(Reports)
    wire: Wire = new_wire()
    await wire.connect()
    expected = ['42["handled","unknown"]', '42["handled","last"]', "432[]"]
    assert await answers(wire, "unknown") == expected


async def test_without_an_acknowledgement(serve: Serve, new_wire: Any) -> None:
    serve(Handles, routes=[path("main/", Main.as_asgi())])
    wire: Wire = new_wire()
    await wire.connect("/main")
    wire.feed('42/main,["unknown"]', '42/main,1["last"]')
    assert await wire.next() == "43/main,1[]", "the next event is answered all the same"


async def test_on_the_plain_websocket(serve: Serve, hub: Hub, new_wire: Any) -> None:
    serve(Main)
    frames: list[Any] = []
    scope = {"type": "websocket", "headers": [], "user": None, "session": {}}
    connection = PlainConnection(hub, scope, MemoryWriter(frames.append))
    assert hub.entrance.enter(connection, "/", {}, "")
    await hub.flush_local()
    (socket,) = connection.sockets.values()
    socket.dispatcher.dispatch(Event("unknown", [], 1, 10))
    socket.dispatcher.dispatch(Event("last", [], 2, 10))
    assert frames[1:] == ['{"ack":2,"args":[]}']
    connection.close("transport close")
