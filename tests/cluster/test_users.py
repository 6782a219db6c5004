"""Sending to users who are connected to several servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.python import Client, connected
from tests.clients.wire import DEADLINE
from tests.clusters import LiveCluster
from tests.live import LiveServer

MEMBERS = "/members"


class Users:
    """What is done with users, at one of the servers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, event: str, *args: Any) -> Any:
        """Have something done, and return what is said of that."""
        return await self._client.call(event, *args, namespace="/rights")

    async def new(self, group: str) -> tuple[int, dict[str, str]]:
        """Return the key of a new user in a group, and the headers that say who it is."""
        pk, key = await self.call("new user", f"user-{uuid4().hex[:12]}", [], [group])
        return pk, {"Cookie": f"sessionid={key}"}


@asynccontextmanager
async def member(server: LiveServer, headers: dict[str, str]) -> AsyncIterator[Client]:
    """Come to a server as a user."""
    async with connected(server, "websocket", MEMBERS, headers=headers) as client:
        client.answer("question", lambda: client.sid(MEMBERS), MEMBERS)
        yield client


@pytest.fixture
async def users(pair: LiveCluster) -> AsyncIterator[Users]:
    """What is done with users, at the first server."""
    async with connected(pair[0], "websocket", "/rights") as client:
        yield Users(client)


async def test_all_devices_of_a_user(pair: LiveCluster, users: Users) -> None:
    group = uuid4().hex
    ann, hers = await users.new(group)
    bob, his = await users.new(group)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        devices = [await enter(member(server, hers)) for server in (*pair, pair[1])]
        other = await enter(member(pair[1], his))
        sids = sorted(device.sid(MEMBERS) for device in devices)

        for user in (ann, str(ann)):
            await users.call("to user", MEMBERS, user, "paid", user)
            for device in devices:
                assert await device.got("said", MEMBERS) == ("paid", user)

        answers, there, count = await users.call("ask user", MEMBERS, ann)
        assert (answers, there, count) == ({sid: sid for sid in sids}, sids, 3)

        await users.call("of user", MEMBERS, ann, "join", group)
        await users.call("to room", MEMBERS, group, "to the room")
        for device in devices:
            assert await device.got("said", MEMBERS) == "to the room"
        await users.call("of user", MEMBERS, ann, "leave", group)
        await users.call("to room", MEMBERS, group, "to nobody")

        await users.call("of user", MEMBERS, ann, "close")
        for device in devices:
            async with asyncio.timeout(DEADLINE):
                assert (await device.left.get())[0] == MEMBERS
            assert device.queue("said", MEMBERS).empty()
        await users.call("to user", MEMBERS, bob, "last")
        assert await other.got("said", MEMBERS) == "last"
        assert other.queue("said", MEMBERS).empty()


async def test_from_a_thread_after_the_commit(pair: LiveCluster, users: Users) -> None:
    name = f"user-{uuid4().hex[:12]}"
    _, key = await users.call("new user", name, [], [])
    async with member(pair[1], {"Cookie": f"sessionid={key}"}) as device:
        await users.call("to user in a thread", MEMBERS, name, "paid")
        await users.call("to user in a thread", MEMBERS, "nobody of that name", "secret")
        await users.call("to user in a thread", MEMBERS, name, "last")
        assert [await device.got("said", MEMBERS) for _ in range(2)] == ["paid", "last"]
