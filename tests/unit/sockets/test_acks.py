"""Asking a client: acall, call and callbacks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

import realtime
from realtime import AckTimeout, ClientDisconnected, NamespaceConsumer, event
from realtime.exceptions import WouldDeadlock
from realtime.hub.hub import Hub
from realtime.sockets.acks import MAX_PENDING
from realtime.testing import Client

from ..conftest import Connect, Serve
from ..consumers import Noting
from ..probes import DEADLINE, Probe


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
@pytest.mark.parametrize(
    ("args", "answer"),
    [
        ((), None),
        ((None,), None),
        ((7,), 7),
        ((7, b"8"), (7, b"8")),
        (([7, 8],), [7, 8]),
        (([],), []),
        (([7], [8]), ([7], [8])),
        ((None, None), (None, None)),
    ],
)
async def test_call(
    serve: Serve, connect: Connect, probe: Probe, name: str, args: tuple[Any, ...], answer: Any
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> None:
            probe.note(await self.acall("question", "ready?"))

        @event("ask from a thread")
        def ask_from_a_thread(self) -> None:
            probe.note(self.call("question", "ready?"))

    serve(Main)
    client = await connect()
    client.answer("question", *args)
    assert await client.call(name) is None
    assert await client.receive() == ("question", "ready?")
    assert await probe.next() == answer
    answers = await realtime.of().acall("question", "ready?")
    assert answers == {client.sid: answer}, "the same for many"
    assert await realtime.to_client(client.sid).acall("question", "ready?") == answer


async def test_an_answer_that_the_test_client_gets(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def several(self) -> tuple[int, int]:
            return 1, 2

        @event("a list")
        async def a_list(self) -> list[int]:
            return [1, 2]

    serve(Main)
    client = await connect()
    assert await client.call("several") == (1, 2)
    assert await client.call("a list") == [1, 2]


async def test_a_question_from_another_loop(serve: Serve, connect: Connect, probe: Probe) -> None:
    """A thread with a loop of its own, such as that of asyncio.run() in a plain handler."""

    class Main(NamespaceConsumer):
        @event
        def ask(self) -> Any:
            async def work() -> Any:
                await self.emit("first")
                await self.join("room")
                return await self.acall("question")

            return asyncio.run(work())

    serve(Main)
    client = await connect()
    client.answer("question", "yes")
    assert await client.call("ask", timeout=DEADLINE) == "yes"


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
async def test_call_without_an_answer(serve: Serve, connect: Connect, name: str) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> str:
            with pytest.raises(AckTimeout, match=r"'question' within 0\.01 seconds"):
                await self.acall("question", timeout=0.01)
            return "asked"

        @event("ask from a thread")
        def ask_from_a_thread(self) -> str:
            with pytest.raises(AckTimeout):
                self.call("question", timeout=0.01)
            return "asked"

    serve(Main)
    assert await (await connect()).call(name) == "asked"


@pytest.mark.parametrize("name", ["ask", "ask from a thread"])
async def test_call_of_a_client_that_leaves(
    serve: Serve, connect: Connect, probe: Probe, name: str
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> None:
            try:
                await self.acall("question", timeout=None)
            except ClientDisconnected as error:
                probe.note(error)
            with pytest.raises(ClientDisconnected):
                await self.acall("another question")

        @event("ask from a thread")
        def ask_from_a_thread(self) -> None:
            try:
                self.call("question", timeout=None)
            except ClientDisconnected as error:
                probe.note(error)

        async def disconnect(self, reason: str) -> None:
            probe.note(reason)

    serve(Main)
    client = await connect()
    client.emit(name)
    assert await client.receive() == ("question",)
    await client.disconnect()
    assert "'question'" in str(await probe.next())
    assert await probe.next() == "transport close"


async def test_who_leaves_a_question_open_is_no_error(
    serve: Serve, probe: Probe, connect: Connect, records: list[Any]
) -> None:
    class Main(Noting):
        @event
        async def ask(self) -> None:
            await self.acall("question")

    Main.probe = probe
    serve(Main)
    client = await connect()
    client.emit("ask")
    await client.receive()
    await client.disconnect()
    assert await probe.next() == "transport close"
    assert [record.args[0] for record in records] == ["connect", "unanswered", "disconnect"]


async def test_call_blocks_nobody_by_mistake(serve: Serve, connect: Connect) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> str:
            with pytest.raises(WouldDeadlock):
                self.call("question")
            return "refused"

    serve(Main)
    assert await (await connect()).call("ask") == "refused"


@pytest.mark.parametrize("kind", ["function", "coroutine function", "sync_to_async", "method"])
async def test_callback(serve: Serve, connect: Connect, probe: Probe, kind: str) -> None:
    def function(*args: Any) -> None:
        probe.note(args)

    async def coroutine_function(*args: Any) -> None:
        await asyncio.sleep(0)
        probe.note(args)

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            callbacks = {
                "function": function,
                "coroutine function": coroutine_function,
                "sync_to_async": sync_to_async(function),
                "method": self.answered,
            }
            self.emit("question", callback=callbacks[kind])

        def answered(self, *args: Any) -> None:
            probe.note(args)

    serve(Main)
    client = Client()
    client.answer("question", 1, b"2")
    async with client:
        assert await probe.next() == (1, b"2")


async def test_callback_of_a_client_that_leaves_is_not_called(
    serve: Serve, connect: Connect, probe: Probe
) -> None:
    class Main(Noting):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("question", callback=probe.note)

    Main.probe = probe
    serve(Main)
    client = await connect()
    await client.disconnect()
    assert await probe.next() == "transport close"
    assert await probe.empty()


async def test_a_failing_callback_is_logged(
    serve: Serve, hub: Hub, probe: Probe, records: list[Any]
) -> None:
    def callback() -> None:
        probe.note("called")
        raise ValueError("in the callback")

    class Main(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.emit("question", callback=callback)

    serve(Main)
    client = Client()
    client.answer("question")
    async with client:
        assert await probe.next() == "called"
    await hub.close(grace=DEADLINE)
    errors = [record.exc_info[1] for record in records if record.levelname == "ERROR"]
    assert [str(error) for error in errors] == ["in the callback"]


async def test_more_questions_than_may_be_open(
    serve: Serve, connect: Connect, probe: Probe, records: list[Any]
) -> None:
    class Main(NamespaceConsumer):
        @event
        async def ask(self) -> str:
            first = asyncio.ensure_future(self.acall("first"))
            await asyncio.sleep(0)
            for _ in range(MAX_PENDING):
                self.emit("another", callback=probe.note)
            with pytest.raises(ClientDisconnected):
                await first
            return "the oldest was given up"

    serve(Main)
    client = await connect()
    assert await client.call("ask") == "the oldest was given up"
    assert [record.realtime["id"] for record in records if record.args[0] == "ack-given-up"] == [0]
