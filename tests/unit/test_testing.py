"""The client for a site's own tests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from realtime import ClientDisconnected, ConnectionRefused, NamespaceConsumer, event
from realtime.testing import Client

from .conftest import Connect, Serve
from .probes import Probe


class Main(NamespaceConsumer):
    async def connect(self, auth: dict[str, Any]) -> None:
        if auth.get("refuse"):
            raise ConnectionRefused("not you", {"code": 1})

    @event
    async def hang(self) -> None:
        await asyncio.Event().wait()

    @event
    async def kick(self) -> None:
        self.close()

    @event
    async def ask(self) -> Any:
        return [await self.acall("question")]


@pytest.fixture(autouse=True)
def _main(serve: Serve) -> None:
    serve(Main)


async def test_a_refusal_is_raised() -> None:
    with pytest.raises(ConnectionRefused, match="not you") as refused:
        async with Client(auth={"refuse": True}):
            pass
    assert refused.value.data == {"code": 1}


async def test_an_unknown_namespace_is_raised() -> None:
    with pytest.raises(ConnectionRefused, match="Invalid namespace"):
        await Client("/nowhere").connect()


async def test_nobody_is_logged_in_unless_that_is_said(serve: Serve, probe: Probe) -> None:
    class Noting(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note((self.user, self.session, self.scope["path"]))

    serve(Noting)
    async with Client():
        assert await probe.next() == (AnonymousUser(), {}, "/socket.io/")


async def test_what_does_not_come_in_time_is_a_timeout(connect: Connect) -> None:
    client = await connect()
    with pytest.raises(TimeoutError):
        await client.receive(timeout=0.01)
    with pytest.raises(TimeoutError):
        await client.call("hang", timeout=0.01)
    with pytest.raises(TimeoutError):
        await client.closed(timeout=0.01)


async def test_a_call_of_a_client_that_is_closed_fails(connect: Connect) -> None:
    client = await connect()
    with pytest.raises(ClientDisconnected):
        await client.call("kick")
    await client.closed()


async def test_a_client_outlives_its_pings(serve: Serve, connect: Connect) -> None:
    serve(Main, PING_INTERVAL=0.02, PING_TIMEOUT=0.03)
    client = await connect()
    with pytest.raises(TimeoutError):
        await client.closed(timeout=0.3)
    with pytest.raises(TimeoutError):
        await client.call("hang", timeout=0.3)
    assert not client.pending()


async def test_disconnect_twice(connect: Connect) -> None:
    client = await connect()
    await client.disconnect()
    await client.disconnect()


async def test_answers_hold_until_they_are_changed(connect: Connect) -> None:
    client = await connect()
    client.answer("question", 1)
    assert [await client.call("ask"), await client.call("ask")] == [[1], [1]]
    client.answer("question")
    assert await client.call("ask") == [None]
    assert client.pending() == 3
