"""Hooks and handlers that are plain functions run in threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections

from realtime import NamespaceConsumer, event

from ..conftest import Connect, Serve
from ..probes import DEADLINE, Probe


class SyncConsumer(NamespaceConsumer):
    """Every hook and handler is a plain function."""

    loop_thread = threading.get_ident()
    left: Any = None

    def connect(self, auth: dict[str, Any]) -> None:
        assert threading.get_ident() != self.loop_thread
        self.data["auth"] = auth

    @event
    def items(self, n: int) -> str:
        self.join("room")
        for number in range(n):
            self.emit("item", number)
            self.everyone.to("room").emit("item", -number)
        self.leave("room")
        self.everyone.to("room").emit("item", "late")
        return f"{n} items"

    def receive(self, event: str, *args: Any) -> list[Any]:
        return [self.data["auth"], event, *args]

    def disconnect(self, reason: str) -> None:
        assert threading.get_ident() != self.loop_thread
        self.left(reason)


async def test_plain_functions(
    serve: Serve, connect: Connect, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncConsumer, "loop_thread", threading.get_ident())
    monkeypatch.setattr(SyncConsumer, "left", staticmethod(probe.note))
    serve(SyncConsumer)
    client = await connect(auth={"a": 1})
    assert await client.call("items", 3) == "3 items"
    expected = [n for number in range(3) for n in (number, -number)]
    assert client.pending() == len(expected), "what it emits leaves before its acknowledgement"
    assert [(await client.receive())[1] for _ in expected] == expected
    assert await client.call("other", 1) == [{"a": 1}, "other", 1]
    await client.disconnect()
    assert await probe.next() == "transport close"


async def test_a_slow_plain_handler_stops_nobody(serve: Serve, connect: Connect) -> None:
    both = threading.Barrier(2, timeout=DEADLINE)

    class Main(NamespaceConsumer):
        @event
        def meet(self) -> int:
            both.wait()
            return threading.get_ident()

    serve(Main)
    ann, bob = await connect(), await connect()
    threads = await asyncio.gather(ann.call("meet"), bob.call("meet"))
    assert threads[0] != threads[1]


async def test_no_more_threads_than_the_setting_allows(serve: Serve, connect: Connect) -> None:
    pair = threading.Barrier(2, timeout=DEADLINE)
    lock, running, most = threading.Lock(), 0, 0

    class Main(NamespaceConsumer):
        @event
        def work(self) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            pair.wait()
            with lock:
                running -= 1

    serve(Main, SYNC_HANDLERS=2)
    clients = [await connect() for _ in range(6)]
    await asyncio.gather(*(client.call("work", timeout=DEADLINE) for client in clients))
    assert most <= 3, "one may leave while the next one comes"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["sync", "async"])
async def test_handlers_use_the_orm_and_leave_no_connection(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # A database in memory is never closed, for it would be lost: here another one holds it.
    monkeypatch.setattr(type(connections["default"]), "is_in_memory_db", lambda self: False)
    users = get_user_model().objects
    used: list[Any] = []

    def look() -> None:
        used.append(connections["default"])
        assert used[-1].connection is not None

    class Main(NamespaceConsumer):
        @event("sync")
        def in_a_thread(self, username: str) -> int:
            users.create_user(username)
            look()
            return int(users.count())

        @event("async")
        async def on_the_loop(self, username: str) -> int:
            await users.acreate(username=username)
            await sync_to_async(look)()
            return await users.acount()

    serve(Main)
    client = await connect()
    assert await client.call(name, "ann", timeout=DEADLINE) == 1
    assert [wrapper.connection for wrapper in used] == [None]
