"""What finds no room in the core layer is noted for those who miss it, and for nobody else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from realtime.cluster.capacity import UNNUMBERED, forget_notes, read_notes, send
from realtime.cluster.envelopes import pack
from realtime.cluster.layer_connection import LayerConnection
from realtime.cluster.overflows import Overflows
from realtime.cluster.sequences import Lane
from realtime.execution.tasks import Tasks
from tests.valkey import Valkey

CAPACITY = 3
ROOM, OTHER = Lane("rt.room"), Lane("rt.other")

NewLayer = Callable[[], Any]
Told = list[tuple[list[str | None], int]]


@pytest.fixture(
    params=[
        {},
        {"symmetric_encryption_keys": ["a key"]},
        {"hosts": 2},
        {"channel_capacity": {"specific.*": CAPACITY}, "capacity": 1000},
    ],
    ids=["plain", "encrypted", "two hosts", "by channel"],
)
async def new_layer(request: pytest.FixtureRequest, valkey: Valkey) -> AsyncIterator[NewLayer]:
    """A function that returns the layer of a new process, in each of some configurations."""
    config = {"capacity": CAPACITY, "prefix": secrets.token_hex(4), **request.param}
    config["hosts"] = [f"{valkey.url}/{database}" for database in range(config.get("hosts", 1))]
    layers: list[Any] = []

    def new_layer() -> Any:
        layers.append(RedisChannelLayer(**config))
        return layers[-1]

    yield new_layer
    for layer in layers:
        await layer.close_pools()


def message(lane: Lane) -> dict[str, Any]:
    """Return a message that says nothing."""
    return pack("-outside", lane.name, 0, 0, [])


async def overflow(sender: Any, lane: Lane, times: int = 1) -> None:
    """Send what a channel takes, and so often more."""
    for _ in range(CAPACITY + times):
        await send(sender, lane, message(lane), unnumbered=2)


async def test_a_group_of_which_one_is_full(new_layer: NewLayer) -> None:
    sender, busy, quick, elsewhere = [new_layer() for _ in range(4)]
    channels = [await layer.new_channel() for layer in (busy, quick, elsewhere)]
    for channel, lane in zip(channels, (ROOM, ROOM, OTHER), strict=True):
        await sender.group_add(lane.name, channel)
    for _ in range(CAPACITY + 2):
        await send(sender, ROOM, message(ROOM), unnumbered=2)
        received = await quick.receive(channels[1])
        assert received == message(ROOM)
    notes = [await read_notes(sender, channel) for channel in channels]
    assert notes == [{ROOM.name: 2, UNNUMBERED: 4}, {}, {}]


async def test_where_all_are_full(new_layer: NewLayer) -> None:
    sender, layers = new_layer(), [new_layer() for _ in range(3)]
    channels = [await layer.new_channel() for layer in layers]
    for channel in channels:
        await sender.group_add(ROOM.name, channel)
    await overflow(sender, ROOM)
    for channel in channels:
        assert await read_notes(sender, channel) == {ROOM.name: 1, UNNUMBERED: 2}


async def test_a_single_channel(new_layer: NewLayer) -> None:
    sender, channel = new_layer(), await new_layer().new_channel()
    lane = Lane(channel, direct=True)
    with pytest.raises(ChannelFull):
        await overflow(sender, lane)
    assert await read_notes(sender, channel) == {channel: 1, UNNUMBERED: 2}


async def test_what_is_numbered_is_not_counted(new_layer: NewLayer) -> None:
    sender, channel = new_layer(), await new_layer().new_channel()
    await sender.group_add(ROOM.name, channel)
    for _ in range(CAPACITY + 1):
        await send(sender, ROOM, message(ROOM))
    assert await read_notes(sender, channel) == {ROOM.name: 1}


async def test_what_is_noted_meanwhile_is_not_forgotten(new_layer: NewLayer) -> None:
    sender, channel = new_layer(), await new_layer().new_channel()
    for lane in (ROOM, OTHER):
        await sender.group_add(lane.name, channel)
    await overflow(sender, ROOM)
    notes = await read_notes(sender, channel)
    for lane in (ROOM, OTHER):
        await send(sender, lane, message(lane), unnumbered=1)
    await forget_notes(sender, channel, notes)
    assert await read_notes(sender, channel) == {ROOM.name: 1, OTHER.name: 1, UNNUMBERED: 2}
    await forget_notes(sender, channel, await read_notes(sender, channel))
    assert await read_notes(sender, channel) == {}


async def test_notes_for_a_process_that_is_gone_do_not_stay(
    new_layer: NewLayer, valkey: Valkey
) -> None:
    sender, channel = new_layer(), await new_layer().new_channel()
    await sender.group_add(ROOM.name, channel)
    await overflow(sender, ROOM)
    connection = sender.connection(sender.consistent_hash(channel))
    (key,) = [key async for key in connection.scan_iter(f"{sender.prefix}:rt.lost:*")]
    assert 0 < await connection.ttl(key) <= sender.group_expiry


async def test_a_layer_without_capacity(valkey: Valkey) -> None:
    layer = RedisPubSubChannelLayer(hosts=[valkey.url], prefix=secrets.token_hex(4))
    channel = await layer.new_channel()
    await layer.group_add(ROOM.name, channel)
    await overflow(layer, ROOM)
    received = [await layer.receive(channel) for _ in range(CAPACITY + 1)]
    assert received == [message(ROOM)] * (CAPACITY + 1)
    assert await read_notes(layer, channel) == {}
    await layer.flush()


# Looking


async def nothing() -> None:
    """Find nothing wrong with the layer."""


async def new_overflows(layer: Any, told: Told) -> Overflows:
    """Return what looks for notes of a process, and notes down what it tells."""
    link = LayerConnection(
        layer, Tasks(asyncio.get_running_loop()), nothing, nothing, on_down=lambda: None
    )
    overflows = Overflows(
        link, lambda lanes, unnumbered, since: told.append((list(lanes), unnumbered))
    )
    overflows.channel = await layer.new_channel()
    return overflows


async def test_each_note_is_told_once(new_layer: NewLayer) -> None:
    sender, told = new_layer(), Told()
    overflows = await new_overflows(new_layer(), told)
    for lane in (ROOM, OTHER):
        await sender.group_add(lane.name, overflows.channel)
    await overflows.look()
    assert told == []
    await overflow(sender, ROOM, times=2)
    await send(sender, OTHER, message(OTHER), unnumbered=1)
    await asyncio.gather(*(overflows.look() for _ in range(10)))
    ((lanes, unnumbered),) = told
    assert (sorted(map(str, lanes)), unnumbered) == ([OTHER.name, ROOM.name], 5)
    await overflows.look()
    assert len(told) == 1
    await send(sender, OTHER, message(OTHER), unnumbered=1)
    await overflows.look()
    assert told[1:] == [([OTHER.name], 1)]


async def test_who_stood_still_for_too_long_may_have_lost_anything(new_layer: NewLayer) -> None:
    told = Told()
    overflows = await new_overflows(new_layer(), told)
    overflows._looked -= 60
    await overflows.look()
    await overflows.look()
    assert told == [([None], 0)]


async def test_an_outage_is_not_told_twice(new_layer: NewLayer) -> None:
    told = Told()
    overflows = await new_overflows(new_layer(), told)
    overflows._looked -= 60
    overflows._link.up.clear()
    await overflows.look()
    overflows._link.up.set()
    await overflows.look()
    assert told == []
