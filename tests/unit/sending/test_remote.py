"""One client by its sid, from the process that has it."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import path

import realtime
from realtime import (
    AckTimeout,
    ClientDisconnected,
    InvalidName,
    NamespaceConsumer,
    UnknownNamespace,
    event,
)
from realtime.hub.hub import Hub

from ..conftest import Connect, Serve
from ..consumers import OrderConsumer
from ..probes import DEADLINE, Wire
from ..test_broadcast import Crowd, got, in_thread

NOBODY = "server" + "A" * 20


@pytest.mark.parametrize("namespace", ["/", "/users", "/orders/7"])
async def test_a_client_in_whatever_namespace(connect: Connect, namespace: str) -> None:
    client, other = await connect(namespace), await connect(namespace)
    remote = realtime.to_client(client.sid)
    remote.emit("said", {"n": 1}, b"bytes")
    await in_thread(remote.emit, "from a thread")
    assert await client.receive() == ("said", {"n": 1}, b"bytes")
    assert await client.receive() == ("from a thread",)
    assert other.pending() == 0


async def test_the_same_client_in_another_namespace(new_wire: Any) -> None:
    wire: Wire = new_wire()
    sid = (await wire.connect())[10:-2]
    await wire.connect("/orders/7")
    realtime.to_client(sid).emit("here")
    realtime.to_client(sid, "/orders/7").emit("there")
    realtime.to_client(sid, OrderConsumer, pk=7).emit("there, too")
    realtime.to_client(sid, "/orders/8").emit("nowhere")
    realtime.to_client(sid, "/users").emit("nowhere")
    assert await wire.next() == '42["here"]'
    assert await wire.next() == '42/orders/7,["there"]'
    assert await wire.next() == '42/orders/7,["there, too"]'
    assert not await realtime.to_client(sid, "/users").adeliver("x")
    assert await realtime.to_client(sid, "/orders/7").adeliver("there again")
    assert await wire.next() == '42/orders/7,["there again"]'


async def test_a_name_of_a_room_is_no_client(crowd: Crowd, hub: Hub) -> None:
    for name in ("a", NOBODY, hub.new_sid()):
        remote = realtime.to_client(name)
        remote.emit("said")
        remote.join("b")
        remote.close()
        assert not await remote.adeliver("said")
        with pytest.raises(ClientDisconnected, match="'ready\\?'"):
            await remote.acall("ready?", timeout=DEADLINE)
    assert await got(crowd) == ""


async def test_rooms_and_the_end(crowd: Crowd, hub: Hub) -> None:
    dan = realtime.to_client(crowd["dan"].sid)
    await dan.join("x", "y")
    await dan.leave("y")
    realtime.to("y").emit("y")
    realtime.to("x").emit("x")
    assert await crowd["dan"].receive() == ("x",)
    await dan.close()
    assert crowd["dan"].sid not in hub.registry.sockets
    await crowd["dan"].closed(DEADLINE)
    assert await got(crowd) == ""


async def test_a_question(crowd: Crowd) -> None:
    ann = realtime.to_client(crowd["ann"].sid)
    with pytest.raises(AckTimeout, match=r"'ready\?' within 0\.02"):
        await ann.acall("ready?", timeout=0.02)
    crowd["ann"].answer("ready?", [1], 2)
    assert await ann.acall("ready?", timeout=None) == ([1], 2)
    assert await in_thread(lambda: ann.call("ready?")) == ([1], 2)
    assert await in_thread(lambda: ann.deliver("said"))
    await crowd["ann"].disconnect()
    with pytest.raises(ClientDisconnected):
        await in_thread(lambda: ann.call("ready?", timeout=DEADLINE))


async def test_what_is_sent_is_what_was_given(connect: Connect) -> None:
    client = await connect("/orders/7")
    value = {"n": 1}

    def send() -> None:
        realtime.to_client(client.sid).emit("value", value)
        value["n"] = 2

    await in_thread(send)
    assert await client.receive() == ("value", {"n": 1})
    with pytest.raises(TypeError):
        realtime.to_client(client.sid).emit("x", object())
    with pytest.raises(TypeError):
        await realtime.to_client(client.sid).adeliver("x", object())


def test_what_cannot_be() -> None:
    with pytest.raises(InvalidName, match="text, not int"):
        realtime.to_client(5)  # type: ignore[arg-type]
    with pytest.raises(UnknownNamespace, match="'/orders/x'"):
        realtime.to_client(NOBODY, "/orders/x")
    with pytest.raises(UnknownNamespace):
        realtime.to_client(NOBODY, OrderConsumer, pk="x")


async def test_an_answer_waits_for_what_a_handler_did_with_a_client(
    serve: Serve, connect: Connect
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def enter(self, sid: str) -> None:
            realtime.to_client(sid).join("room")

    serve(Main, routes=[path("other/", NamespaceConsumer.as_asgi())])
    client, other = await connect(), await connect("/other")
    await client.call("enter", other.sid)
    realtime.of("/other").to("room").emit("welcome")
    assert await other.receive() == ("welcome",)
    assert client.pending() == 0
