"""Events of one socket in order and one at a time; sockets do not wait for each other."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import Any

import pytest
from django.urls import path

from realtime import ClientDisconnected, NamespaceConsumer, event
from realtime.hub.hub import Hub

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe, Wire

current: ContextVar[str] = ContextVar("current", default="nobody")


async def test_events_of_one_socket_one_at_a_time(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def slow(self, n: int) -> None:
            probe.note(("begin", n))
            for _ in range(n % 3):
                await asyncio.sleep(0)
            probe.note(("end", n))

        @event
        async def quick(self, n: int) -> None:
            probe.note(("begin", n))
            probe.note(("end", n))

        @event("in a thread")
        def in_a_thread(self, n: int) -> None:
            probe.note(("begin", n))
            probe.note(("end", n))

    serve(Main)
    client = await connect()
    names = ["slow", "quick", "in a thread", "quick", "slow"] * 20
    for n, name in enumerate(names):
        client.emit(name, n)
    expected = [(what, n) for n in range(len(names)) for what in ("begin", "end")]
    assert [await probe.next() for _ in expected] == expected


async def test_more_events_than_one_turn(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> int:
            if event == "hold":
                probe.note("held")
                await probe.gate.wait()
            return int(args[0])

    serve(Main)
    ann, bob = await connect(), await connect()
    held = asyncio.create_task(ann.call("hold", -1))
    assert await probe.next() == "held"
    calls = [asyncio.create_task(ann.call("event", n, timeout=DEADLINE)) for n in range(300)]
    assert await bob.call("event", 1) == 1, "another socket is not delayed"
    assert not any(call.done() for call in calls)
    probe.gate.set()
    assert await held == -1
    assert await asyncio.gather(*calls) == list(range(300))


@pytest.mark.parametrize(
    ("options", "frame"),
    [({"INBOX_EVENTS": 8}, '42["e"]'), ({"INBOX_BYTES": 10_000}, f'42["e","{"x" * 2000}"]')],
    ids=["events", "bytes"],
)
async def test_a_client_that_is_faster_than_its_handlers(
    serve: Serve, new_wire: Any, probe: Probe, options: dict[str, int], frame: str
) -> None:
    handled: list[int] = []

    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> None:
            if event == "last":
                probe.note(len(handled))
            handled.append(1)
            await probe.gate.wait()

    serve(Main, PING_INTERVAL=0.01, PING_TIMEOUT=0.01, **options)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(*[frame] * 50, '42["last"]')
    assert await wire.next() == "2"
    await asyncio.sleep(0.05)  # longer than a ping may take: its answer cannot be read
    assert not wire.session.closed.happened
    assert wire.session.throttled
    assert wire.unread() > 40, "what does not fit is left to the server, and to the client's TCP"
    probe.gate.set()
    assert await probe.next() == 50
    assert not wire.session.throttled


async def test_a_client_that_is_read_from_for_an_acknowledgement(
    serve: Serve, new_wire: Any, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> None:
            await probe.gate.wait()
            probe.note(await self.acall("question", timeout=DEADLINE))

    serve(Main, INBOX_EVENTS=8)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('42["ask"]', *['42["e"]'] * 6, '430["answer"]')
    assert wire.pending() == 0
    probe.gate.set()
    assert await wire.next() == '420["question"]'
    assert await probe.next() == "answer"


async def test_more_events_than_may_wait(
    serve: Serve, new_wire: Any, probe: Probe, records: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> None:
            with contextlib.suppress(ClientDisconnected):
                await self.acall("question", timeout=DEADLINE)  # so all that comes is read

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main, INBOX_EVENTS=5)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed(*['42["e"]'] * 6)
    assert await wire.next() == '420["question"]'
    assert wire.pending() == 0, "one at work and five that wait are no more than may"
    wire.feed('42["e"]')
    assert await wire.next() is None
    assert await probe.next() == "forced server close", "those that waited are forgotten"
    assert "inbox-full" in [record.args[0] for record in records]


async def test_a_handler_may_wait_for_its_own_client(serve: Serve, new_wire: Any) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> Any:
            return [await self.acall("first"), await self.acall("second")]

        @event
        async def later(self) -> None:
            """Wait for the one before."""

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed('420["ask"]', '421["later"]')
    assert await wire.next() == '420["first"]'
    wire.feed("430[1]")
    assert await wire.next() == '421["second"]'
    wire.feed("431[2]")
    assert await wire.next() == "430[[1,2]]"
    assert await wire.next() == "431[]"


async def test_heartbeats_and_other_namespaces_do_not_wait_for_a_handler(
    serve: Serve, new_wire: Any, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        async def receive(self, event: str, *args: Any) -> str:
            if event == "hold":
                probe.note("held")
                await probe.gate.wait()
            return event

    serve(Main, routes=[path("other/", Main.as_asgi())], PING_INTERVAL=0.05)
    wire: Wire = new_wire()
    await wire.connect()
    await wire.connect("/other")
    wire.feed('420["hold"]')
    assert await probe.next() == "held"
    wire.feed('42/other,5["quick"]')
    pings = 0
    answers = []
    while pings < 3 or not answers:
        frame = await wire.next()
        if frame == "2":
            pings += 1
            wire.feed("3")
        else:
            answers.append(frame)
    assert answers == ['43/other,5["quick"]']
    probe.gate.set()
    while (frame := await wire.next()) == "2":
        wire.feed("3")
    assert frame == '430["hold"]'


async def test_acknowledgements_that_nobody_asked_for_are_ignored(new_wire: Any) -> None:
    wire: Wire = new_wire()
    await wire.connect()
    wire.feed("439[1]", "430[]", '421["echo","here"]')
    assert await wire.next() == '431["here"]'


async def test_timeouts_hold_inside_handlers(serve: Serve, connect: Connect, probe: Probe) -> None:
    class Main(NamespaceConsumer):
        @event
        async def wait(self) -> str:
            task = asyncio.current_task()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await probe.gate.wait()
            assert asyncio.current_task() is task
            async with asyncio.TaskGroup() as group:
                done = group.create_task(asyncio.sleep(0, "done"))
            assert await asyncio.wait_for(asyncio.shield(asyncio.sleep(0, 5)), DEADLINE) == 5
            return done.result()

        @event("wait in time")
        async def wait_in_time(self) -> str:
            async with asyncio.timeout(DEADLINE):
                await asyncio.sleep(0)
            return "in time"

    serve(Main)
    client = await connect()
    for _ in range(2):
        assert await client.call("wait") == "done"
        assert await client.call("wait in time") == "in time"


async def test_context_variables_belong_to_their_socket(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            assert current.get() == "nobody"
            current.set(auth["name"])
            await asyncio.sleep(0)
            assert current.get() == auth["name"]

        @event
        async def get(self) -> list[str]:
            before = current.get()
            await asyncio.sleep(0)
            return [before, current.get()]

        @event("get in a thread")
        def get_in_a_thread(self) -> str:
            return current.get()

        @event
        async def change(self, name: str) -> None:
            await asyncio.sleep(0)
            current.set(name)

        @event("change in a thread")
        def change_in_a_thread(self, name: str) -> None:
            current.set(name)

        async def disconnect(self, reason: str) -> None:
            probe.note(current.get())

    serve(Main)
    ann, bob = await connect(auth={"name": "ann"}), await connect(auth={"name": "bob"})
    assert await ann.call("get") == ["ann", "ann"]
    await ann.call("change", "Ann")
    assert await ann.call("get") == ["Ann", "Ann"]
    assert await ann.call("get in a thread") == "Ann"
    await ann.call("change in a thread", "ANN")
    assert await ann.call("get") == ["ANN", "ANN"]
    assert await bob.call("get") == ["bob", "bob"]
    assert current.get() == "nobody"
    await ann.disconnect()
    assert await probe.next() == "ANN"


async def test_a_handler_that_cancels_itself_harms_nobody(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def give_up(self) -> None:
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        @event("await a cancelled task")
        async def await_a_cancelled_task(self) -> None:
            task = asyncio.create_task(asyncio.sleep(DEADLINE))
            task.cancel()
            await task

        @event("cancel itself")
        async def cancel_itself(self, waits: int) -> None:
            for _ in range(waits):
                await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(DEADLINE)

        @event
        async def ping(self) -> str:
            return "pong"

    serve(Main)
    client = await connect()
    calls: list[tuple[Any, ...]] = [("give_up",), ("await a cancelled task",), ("give_up",)]
    for call in (*calls, ("cancel itself", 0), ("cancel itself", 3)):
        assert (await client.call(*call))["error"]["code"] == "server_error"
    assert await client.call("ping") == "pong"


async def test_a_handler_that_never_waits_costs_no_turn(
    serve: Serve, new_wire: Any, hub: Hub
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def quick(self, n: int) -> int:
            self.join("room")
            self.everyone.to("room").emit("said", n)
            self.leave("room")
            return n

        @event
        async def suspend(self) -> None:
            await asyncio.sleep(0)

    serve(Main)
    wire: Wire = new_wire()
    await wire.connect()
    wire.session.feed_safely('42["quick",0]')
    assert await wire.next() == '42["said",0]'
    tasks = hub.stats()["tasks"]
    for n in range(20):
        wire.session.feed_safely(f'42["quick",{n}]')
        assert wire.pending() == n + 1
    assert hub.stats()["tasks"] == tasks
    wire.session.feed_safely('42["suspend"]')
    assert hub.stats()["tasks"] == tasks + 1
