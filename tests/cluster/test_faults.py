"""A layer that fails, processes that die, and messages that cannot be understood."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import channels_redis.core
import channels_redis.pubsub
import pytest

from realtime.cluster.envelopes import (
    HUBS,
    LAYER_MESSAGE,
    VERSION,
    Beat,
    Emit,
    encode,
    group_name,
    pack,
)
from tests.clients.wire import eventually
from tests.cluster.conftest import KINDS, Connect, Member
from tests.clusters import LAYERS, LiveCluster
from tests.conftest import ClusterFactory
from tests.live import LiveServer
from tests.valkey import Valkey

NewValkey = Callable[..., Valkey]

pytestmark = pytest.mark.timeout(180)


async def logged(server: LiveServer, pattern: str, timeout: float = 30.0, since: int = 0) -> None:
    """Wait for a log line of a server."""
    await server.logged(pattern, timeout, since)


@asynccontextmanager
async def read(member: Member) -> AsyncIterator[list[Any]]:
    """Gather what a member hears of bursts, in a list that grows."""
    numbers: list[int] = []

    async def gather() -> None:
        while True:
            numbers.append(await member.client.queue("number", "/cluster").get())

    reading = asyncio.create_task(gather())
    try:
        yield numbers
    finally:
        reading.cancel()


async def until(numbers: list[Any], last: int, timeout: float = 60.0) -> None:
    """Wait until a number has been heard."""
    async with asyncio.timeout(timeout):
        while not numbers or numbers[-1] != (last,):
            await asyncio.sleep(0.02)


def in_order(numbers: list[Any], first: int, last: int) -> bool:
    """Tell whether these are all numbers from `first` to `last`, in order."""
    return numbers == [(number,) for number in range(first, last)]


async def test_layer_that_stops_and_starts(
    new_valkey: NewValkey, new_cluster: ClusterFactory, join: Connect, layer: str
) -> None:
    valkey = new_valkey()
    cluster = new_cluster(KINDS, valkey, layer=layer)
    one, near, far = [await join(cluster[index], "room") for index in (0, 0, 1)]
    async with read(near) as near_numbers, read(far) as far_numbers:
        await one.call("burst", "room", 0, 50)
        await until(far_numbers, 49)
        valkey.stop()
        for start in range(50, 150, 10):
            await one.call("burst", "room", start, start + 10)
        await until(near_numbers, 149)  # local delivery never stops
        late = await join(cluster[1], "late room")  # nor do connects
        answer = await asyncio.to_thread(cluster[0].post, f"/client/{far.sid}")
        assert (answer.status_code, answer.json()["message"][:25]) == (
            503,
            "The channel layer is down",
        )
        valkey.start()
        await asyncio.gather(*(logged(server, "layer-back") for server in cluster))
        await one.call("burst", "room", 150, 200)
        await until(far_numbers, 199)
        assert in_order(near_numbers, 0, 200)
        assert in_order(far_numbers, 0, 200)
    await one.call("emit to", ["late room"], [], "hi")
    assert await late.got() == "hi"
    assert await far.call("lost") == 0


async def test_layer_that_hangs_for_20_seconds(
    new_valkey: NewValkey, new_cluster: ClusterFactory, join: Connect
) -> None:
    valkey = new_valkey()
    clusters = [new_cluster(KINDS, valkey, layer=layer) for layer in LAYERS]
    near = [await join(cluster[0], "room") for cluster in clusters]
    far = [await join(cluster[1], "room") for cluster in clusters]
    valkey.pause()
    for start in range(0, 200, 10):
        for one in near:
            await one.call("burst", "room", start, start + 10)
            assert await one.read_numbers(10) == list(range(start, start + 10))
        await asyncio.sleep(1)
    valkey.resume()
    for one, two in zip(near, far, strict=True):
        async with asyncio.timeout(60), read(two) as numbers:
            await until(numbers, 199)
            assert in_order(numbers, 0, 200)
        assert await one.call("wait for peers") == 1
        assert one.client.left.empty()
        assert two.client.left.empty()


async def test_layer_object_whose_reader_has_ended(
    new_cluster: ClusterFactory, join: Connect
) -> None:
    """
    channels_redis' pubsub layer does not start it again: the hub takes another layer object. No new
    clients are to come as long as it is deaf.
    """
    cluster = new_cluster(KINDS, layer="pubsub")
    for ending, hearing in ((cluster[0], cluster[1]), (cluster[1], cluster[0])):
        one, far = await join(hearing, "room"), await join(ending, "room")
        since = len(ending.log)
        await far.call("deafen")
        await logged(ending, "layer-deaf", timeout=60, since=since)
        ready = await asyncio.to_thread(ending.get, "/health/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "layer-deaf" in ready.json()["problems"]
        assert (await asyncio.to_thread(ending.get, "/health/live")).status_code == 200
        await far.call("recover")
        await logged(ending, "layer-replaced", timeout=60, since=since)
        await logged(ending, "layer-back", timeout=60, since=since)
        await eventually(lambda ending=ending: ending.get("/health/ready").status_code == 200)
        await one.call("burst", "room", 0, 10)
        assert await far.read_numbers(10) == list(range(10))
        await far.call("burst", "room", 10, 20)
        assert await one.read_numbers(20) == list(range(20))
        assert await far.call("wait for peers") == 1


async def test_full_channels_are_counted_and_logged(
    new_cluster: ClusterFactory, join: Connect
) -> None:
    cluster = new_cluster(KINDS, config={"capacity": 5})
    one, far = await join(cluster[0], "room"), await join(cluster[1], "room")
    await one.call("burst", "room", 0, 1)
    assert await far.read_numbers(1) == [0]
    os.kill(cluster[1].pid, signal.SIGSTOP)
    try:
        for number in range(1, 30):
            await one.call("emit to", ["room"], [], number)  # each a message of its own
            assert await one.got() == number
            await asyncio.sleep(0.02)
    finally:
        os.kill(cluster[1].pid, signal.SIGCONT)
    await logged(cluster[1], r"layer-lost server=\S+ lost=\d+")
    assert await far.call("lost") > 0


async def test_process_killed_in_the_middle_of_a_broadcast(
    new_cluster: ClusterFactory, join: Connect, layer: str
) -> None:
    cluster = new_cluster(("daphne", "uvicorn", "daphne"), layer=layer)
    one, far, doomed = [await join(server, "room") for server in cluster]
    async with read(far) as numbers:
        bursts = [
            asyncio.create_task(one.call("burst", "room", start, start + 100))
            for start in range(0, 2000, 100)
        ]
        await until_any(numbers)
        cluster[2].kill()
        await asyncio.gather(*bursts)
        await until(numbers, 1999)
        assert in_order(numbers, 0, 2000)
    await logged(cluster[0], f"server-gone server={doomed.sid[:6]}")
    answers, missing = await one.call("ask room", [doomed.sid], "ready?", 20)
    assert (answers, missing) == ({}, [doomed.sid])


async def until_any(numbers: list[Any]) -> None:
    """Wait until something has been heard."""
    async with asyncio.timeout(20):
        while not numbers:
            await asyncio.sleep(0.01)


async def test_memberships_outlive_the_layers_memory(
    new_cluster: ClusterFactory, join: Connect
) -> None:
    cluster = new_cluster(KINDS, config={"group_expiry": 6})
    one, far = await join(cluster[0]), await join(cluster[1], "room")
    await asyncio.sleep(8)  # this is what is tested: time passes
    await one.call("emit to", ["room"], [], "still there")
    assert await far.got() == "still there"


@pytest.mark.parametrize(
    "message",
    [
        {"type": LAYER_MESSAGE, "version": VERSION + 1, "server": "future", "bodies": ["?"]},
        {"type": "realtime.something", "version": VERSION},
        {
            "type": LAYER_MESSAGE,
            "version": VERSION,
            "server": "future",
            "bodies": [b"\xff", b"\x93"],
        },
        {"type": LAYER_MESSAGE, "version": VERSION, "server": "future", "bodies": 7},
        {"type": LAYER_MESSAGE},
        {"type": "close"},
    ],
    ids=["newer version", "other type", "garbage", "no list", "nothing", "a method's name"],
)
async def test_what_is_not_understood_is_ignored(
    pair: LiveCluster, join: Connect, message: dict[str, Any]
) -> None:
    one, far = await join(pair[0], "room"), await join(pair[1], "room")
    since = len(pair[1].log)
    layer = foreign_layer(pair)

    async def send_until_logged() -> bool:
        for group in (HUBS, group_name("/cluster", "room")):
            await layer.group_send(group, message)
        return "layer-ignored" in pair[1].log[since:]

    # The tests before may have caused as many lines as there may be in a while.
    await eventually(send_until_logged, timeout=30, interval=0.5)
    await one.call("emit to", ["room"], [], "all is well")
    assert await far.got() == "all is well"


@pytest.mark.parametrize("number", [10**6, 2**53, 2**63 - 1])
async def test_a_forged_number_silences_nobody(
    pair: LiveCluster, join: Connect, number: int
) -> None:
    layer, room = foreign_layer(pair), f"forged {number}"
    one, far = await join(pair[0], room), await join(pair[1], room)
    group, server = group_name("/cluster", room), one.sid[:6]
    await one.call("emit to", [room], [], "before")
    assert await far.got() == "before"
    for place in (2, number):
        await layer.group_send(group, pack(server, group, number, place, []))
    beat = Beat(server, "nowhere", tails={group: (number, number)})
    await layer.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(beat)]))
    for text in range(10):
        await one.call("emit to", [room], [], text)
    assert [await far.got() for _ in range(10)] == list(range(10))


async def test_a_forged_goodbye(pair: LiveCluster, join: Connect) -> None:
    one, far = await join(pair[0], "room"), await join(pair[1], "room")
    layer, server, since = foreign_layer(pair), far.sid[:6], len(pair[0].log)
    beat = Beat(server, "nowhere", leaving=True)
    await layer.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(beat)]))
    await logged(pair[0], f"server-left server={server}", since=since)
    await one.call("emit to", ["room"], [], "still here")
    assert await far.got() == "still here"
    async with asyncio.timeout(30):
        while await one.call("wait for peers") != 1:
            await asyncio.sleep(0.1)


async def test_who_does_not_have_the_key_is_not_heard(
    new_cluster: ClusterFactory, join: Connect, layer: str
) -> None:
    keys = {"symmetric_encryption_keys": ["a key of this test's alone"]}
    cluster = new_cluster(KINDS, layer=layer, config=keys)
    one, far = await join(cluster[0], "room"), await join(cluster[1], "room")
    group, server = group_name("/cluster", "room"), one.sid[:6]
    forged = Emit("/cluster", ("room",), (), False, '42/cluster,["said","forged"]', ())
    goodbye = Beat(server, "nowhere", leaving=True)
    with_key, without = foreign_layer(cluster), foreign_layer(cluster, without="symmetric")
    for stranger in (without, with_key):
        since = len(cluster[1].log)
        await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(goodbye)]))
        await stranger.group_send(group, pack(server, group, 0, 0, [encode(forged)]))
        await one.call("burst", "room", 0, 20)
        assert await far.read_numbers(20) == list(range(20))
        assert far.pending() == (stranger is with_key)
        said_goodbye = f"server-left server={server}"
        if stranger is with_key:
            await logged(cluster[1], said_goodbye, since=since)
        else:
            assert said_goodbye not in cluster[1].log[since:]


def foreign_layer(cluster: LiveCluster, without: str | None = None) -> Any:
    """
    Return a channel layer of this process with the groups of a cluster, and its options but for
    those that start `without`.
    """
    options = json.loads(cluster.env["LAYER_OVERRIDES"])
    config = {"hosts": [cluster.valkey.url]} | {
        name: value
        for name, value in options.items()
        if without is None or not name.startswith(without)
    }
    if cluster.layer == "core":
        return channels_redis.core.RedisChannelLayer(**config)
    return channels_redis.pubsub.RedisPubSubChannelLayer(**config)
