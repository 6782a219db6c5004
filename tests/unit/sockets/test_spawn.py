"""`self.spawn`: tasks that end with their socket."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from realtime import ConnectionRefused, EventError, NamespaceConsumer, event
from realtime.hub.hub import Hub

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe, Wire


class Spawning(NamespaceConsumer):
    """Spawns at connect, from the loop, or from a thread."""

    probe: Probe

    async def connect(self, auth: dict[str, Any]) -> None:
        if auth.get("spawn"):
            self.spawn(self.forever())
        if auth.get("wait"):
            self.probe.note("connecting")
            await self.probe.gate.wait()
            self.spawn(self.forever())
        if auth.get("refuse"):
            await asyncio.sleep(0)
            raise ConnectionRefused("no")

    async def forever(self) -> None:
        self.probe.note("begun")
        self.emit("begun")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.probe.note("ended")

    @event
    async def start(self) -> None:
        assert isinstance(self.spawn(self.forever()), asyncio.Task)

    @event
    def start_in_thread(self) -> None:
        assert self.spawn(self.forever()) is None

    @event
    async def stop(self) -> bool:
        task = self.spawn(self.forever())
        await asyncio.sleep(0)
        assert task is not None
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    async def disconnect(self, reason: str) -> None:
        self.probe.note("disconnect")
        self.spawn(self.forever())


@pytest.fixture
def spawning(serve: Serve, probe: Probe) -> None:
    Spawning.probe = probe
    serve(Spawning)


@pytest.mark.parametrize("where", ["connect", "start", "start_in_thread"])
async def test_it_ends_before_disconnect(
    spawning: None, probe: Probe, connect: Connect, hub: Hub, where: str
) -> None:
    client = await connect(auth={"spawn": where == "connect"})
    if where != "connect":
        client.emit(where)
    assert await probe.next() == "begun"
    assert await client.receive() == ("begun",)
    await client.disconnect()
    assert [await probe.next(), await probe.next()] == ["ended", "disconnect"]
    await asyncio.sleep(0)
    assert await probe.empty(), "what is spawned by a socket that is gone does not begin"


async def test_a_task_may_be_ended_before(
    spawning: None, probe: Probe, connect: Connect, records: list[Any]
) -> None:
    client = await connect()
    assert await client.call("stop") is True
    assert [record for record in records if record.levelname in ("ERROR", "WARNING")] == []


async def test_it_ends_with_a_socket_that_is_refused(
    spawning: None, probe: Probe, connect: Connect
) -> None:
    with pytest.raises(ConnectionRefused):
        await connect(auth={"spawn": True, "refuse": True})
    assert [await probe.next(), await probe.next()] == ["begun", "ended"]


async def test_a_client_that_leaves_before_it_is_spawned(
    spawning: None, probe: Probe, new_wire: Any, hub: Hub
) -> None:
    wire: Wire = new_wire()
    wire.feed('40{"wait":true}')
    assert await probe.next() == "connecting"
    wire.close()
    probe.gate.set()
    assert await probe.next() == "disconnect"
    async with asyncio.timeout(DEADLINE):
        while len(hub.tasks):
            await asyncio.sleep(0)
    assert await probe.empty()


async def test_what_it_raises_is_logged(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def go(self, how: str) -> None:
            self.spawn(self.work(how))

        async def work(self, how: str) -> None:
            try:
                await asyncio.sleep(0)
                raise {
                    "error": RuntimeError("broken"),
                    "event error": EventError("no"),
                    "exit": SystemExit(1),
                    "interrupt": KeyboardInterrupt(),
                }[how]
            finally:
                probe.note(how)

    serve(Main)
    client = await connect()
    for how in ("error", "event error", "exit", "interrupt"):
        await client.call("go", how)
        assert await probe.next() == how
    await client.disconnect()
    told = [
        (record.levelname, record.realtime["event"])
        for record in records
        if record.args[0] in ("error", "event-error")
    ]
    assert told == [("ERROR", "spawn"), ("WARNING", "spawn"), *[("ERROR", "spawn")] * 2]


async def test_a_thread_of_its_own(serve: Serve, connect: Connect, probe: Probe) -> None:
    both = threading.Barrier(2)

    class Main(NamespaceConsumer):
        @event
        def go(self) -> int:
            self.spawn(self.work())
            return both.wait(DEADLINE)

        async def work(self) -> None:
            await sync_to_async(both.wait)(DEADLINE)

    serve(Main)
    client = await connect()
    assert await client.call("go") in (0, 1)


async def test_it_may_close_its_own_socket(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.spawn(self.work())

        async def work(self) -> None:
            await asyncio.sleep(0)
            self.close()
            try:
                await asyncio.sleep(DEADLINE)
            finally:
                probe.note("ended")

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main)
    client = await connect()
    await client.closed(DEADLINE)
    assert [await probe.next(), await probe.next()] == ["ended", "server namespace disconnect"]


async def test_what_is_no_coroutine_is_refused(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def go(self, what: int) -> str:
            values: list[Any] = [self.feed, None, print, asyncio.sleep(0)]
            values[3].close()
            with pytest.raises(TypeError) as caught:
                self.spawn(values[what])
            return str(caught.value)

        async def feed(self) -> None: ...

    serve(Main)
    client = await connect()
    assert "self.spawn(self.feed())" in await client.call("go", 0)
    assert "not None" in await client.call("go", 1)
    assert "not print" in await client.call("go", 2)
