"""Names that clients and sites give to namespaces and rooms."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import re_path

import realtime
from realtime import NamespaceConsumer, UnknownNamespace, event
from tests.protocol.test_names import BAD

from ..conftest import Connect
from ..consumers import RoomsConsumer
from ..hub.test_observers import Serve
from ..probes import Probe


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
async def test_bad_rooms_are_refused_where_they_are_given(
    name: str, connect: Connect, records: list[Any]
) -> None:
    client = await connect()
    for method in ("to", "excluding", "join", "leave"):
        with pytest.raises(ValueError, match=BAD[name]):
            getattr(realtime.of(), method)(name)
    if name.isprintable() or "\0" in name:  # no client can send half a surrogate pair
        error = (await client.call("join", name))["error"]
        assert error["code"] == "invalid_name"
        assert BAD[name] in error["message"]
    assert await client.call("echo", "still here") == "still here"
    assert [record.args[0] for record in records if record.exc_info] == []


NAMES = [
    5,
    None,
    ["a"],
    "x" * 300,
    "a\0b",
    "disconnect",
    "/nowhere",
    "/a\0",
    "/" + "x" * 5_000,
    "a",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
async def test_names_from_clients_are_no_faults_of_the_handler(
    name: Any, serve: Serve, connect: Connect, records: list[Any], probe: Probe
) -> None:
    def use(what: str, self: NamespaceConsumer) -> None:
        match what:
            case "event":
                self.emit(name if isinstance(name, str) else 5)
            case "namespace":
                realtime.of(name if isinstance(name, str) else "5").emit("news")
            case _:
                getattr(self, what)(name)

    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> None:
            use(event, self)

        @event
        def thread(self, what: str) -> None:
            use(what, self)

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)
            self.join("\0")

    serve(Main)
    client = await connect()
    for what in ("join", "leave", "to", "excluding", "event", "namespace"):
        for answer in (await client.call(what), await client.call("thread", what)):
            if answer is not None:
                assert answer["error"]["code"] in ("invalid_name", "unknown_namespace")
                assert len(answer["error"]["message"]) < 250
    leaver = await connect()
    await leaver.disconnect()
    await probe.next()
    (told,) = [
        record.realtime
        for record in records
        if record.realtime.get("sid") == leaver.sid and record.args[0] == "event-error"
    ]
    assert told["event"] == "disconnect"
    assert [record.args[0] for record in records if record.exc_info] == []


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
async def test_bad_namespaces_are_unknown(name: str, serve: Serve, new_wire: Any) -> None:
    serve(routes=[re_path("^(?s:.*)/$", RoomsConsumer.as_asgi())])
    with pytest.raises(UnknownNamespace):
        realtime.of("/" + name)
    if name.isprintable():
        answer = await new_wire().connect("/" + name)
        assert "Invalid namespace" in answer
    assert (await new_wire().connect("/fine")).startswith("40/fine,")
