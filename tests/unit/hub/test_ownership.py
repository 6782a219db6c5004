"""What belongs to the hub's own thread is refused to others, with what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime.cluster.targets import Target
from realtime.hub.asking import call
from realtime.hub.hub import Hub
from realtime.sockets.messages import Message

from ..conftest import Connect

TARGET = Target("/", ())

CALLS: dict[str, Callable[[Hub, Any], Any]] = {
    "emit": lambda hub, socket: hub.emit(TARGET, Message("/", "said", ())),
    "deliver": lambda hub, socket: hub.deliver(TARGET, Message("/", "said", ())),
    "command": lambda hub, socket: hub.command(TARGET, "join", ("a",)),
    "execute": lambda hub, socket: hub.execute(TARGET, "close", ()),
    "call": lambda hub, socket: asyncio.run(call(hub, TARGET, Message("/", "ask", ()), 1)),
    "add": lambda hub, socket: hub.registry.add(socket),
    "join": lambda hub, socket: hub.registry.join(socket, "a"),
    "leave": lambda hub, socket: hub.registry.leave(socket, "a"),
    "send": lambda hub, socket: asyncio.run(socket.acks.call(Message("/", "ask", ()), 1)),
}


@pytest.mark.parametrize("name", CALLS)
async def test_another_thread_is_told(name: str, hub: Hub, connect: Connect) -> None:
    client = await connect()
    socket = hub.registry.sockets[client.sid]
    with pytest.raises(RuntimeError, match=r"belongs to the event loop.*`hub\.run`"):
        await asyncio.to_thread(CALLS[name], hub, socket)
    assert await client.call("echo", 1) == 1
    assert client.pending() == 0
    assert hub.stats()["sockets"] == 1
    assert hub.stats()["rooms"] == 0
