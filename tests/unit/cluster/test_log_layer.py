"""The log in a real Valkey: numbers, streams and their bounds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import create_pool

from realtime.cluster.log_layer import Disconnected, Job, LogLayer
from realtime.cluster.log_scripts import PER_MILLISECOND
from realtime.cluster.log_support import why_not
from realtime.utils.recovery import RecoveryOptions
from tests.unit.probes import DEADLINE
from tests.valkey import Valkey

pytestmark = pytest.mark.slow

Make = Callable[..., LogLayer]


@pytest.fixture
async def make(valkey: Valkey) -> AsyncIterator[Make]:
    """A function that returns a layer with bounds of its own, of one prefix."""
    layers: list[LogLayer] = []
    prefix = secrets.token_hex(4)

    def make(sender: str = "sender", lifetime: float = 60, **bounds: int) -> LogLayer:
        pool = create_pool({"address": valkey.url, "protocol": 2})
        options = RecoveryOptions(60, **bounds)
        layer = LogLayer(pool.make_connection, prefix, sender, options, lifetime)
        layers.append(layer)
        return layer

    yield make
    for layer in layers:
        await layer.close_pools()


Hear = Callable[[], Awaitable[dict[str, Any]]]


async def hearing(layer: LogLayer, group: str) -> Hear:
    """Let a layer hear a group; return what returns the next message."""
    channel = await layer.new_channel()
    await layer.group_add(group, channel)

    async def hear() -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            return await layer.receive(channel)

    return hear


def job(layer: LogLayer, name: str = "event", **options: Any) -> Job:
    """Return what sends to the group "room", and keeps it."""
    return Job(layer.group_channel("room"), {"name": name}, ("room",), **options)


async def test_numbers_rise_and_come_with_the_messages(make: Make) -> None:
    one, two = make("one"), make("two")
    hear = await hearing(two, "room")
    numbers = await one.publish([job(one, events=3), job(one)])
    numbers += await two.publish([job(two)])
    assert numbers == sorted(set(numbers))
    assert numbers[1] == numbers[0] + 3 or numbers[1] > numbers[0] + 3
    assert [(await hear())["log"] for _ in numbers] == numbers
    assert await one.position() >= numbers[-1]


async def test_what_was_given_is_not_given_again(make: Make) -> None:
    layer = make()
    ahead = await layer.position() + 3_600_000 * PER_MILLISECOND
    assert await layer.reach(ahead) == ahead
    assert await layer.reach(5) == ahead
    assert await layer.publish([job(layer)]) == [ahead + 1]


async def test_numbers_rise_when_redis_has_forgotten_all(make: Make, valkey: Valkey) -> None:
    layer = make()
    (before,) = await layer.publish([job(layer)])
    valkey.client.delete(*valkey.client.keys(f"{layer.prefix}:*"))
    (after,) = await layer.publish([job(layer)])
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after > before


async def test_what_is_not_for_the_log_is_in_the_same_order(make: Make, valkey: Valkey) -> None:
    layer = make()
    hear = await hearing(layer, "room")
    channel = layer.group_channel("room")
    await layer.publish([job(layer, "a"), Job(channel, {"name": "b"}), job(layer, "c")])
    heard = [await hear() for _ in range(3)]
    assert [message["name"] for message in heard] == ["a", "b", "c"]
    assert heard[1]["log"] == 0
    assert valkey.client.xlen(layer.stream("room")) == 2


async def test_two_channels_get_one_number(make: Make) -> None:
    layer = make()
    hear, other = await hearing(layer, "room"), await hearing(layer, "other")
    await layer.publish([job(layer, also=(layer.group_channel("other"),))])
    assert await hear() == await other()


async def test_what_is_sent_again_is_kept_once(make: Make, valkey: Valkey) -> None:
    layer = make()
    jobs = [job(layer, sequence=number) for number in (1, 2)]
    await layer.publish(jobs)
    assert await layer.publish(jobs) == [0, 0]
    assert await layer.publish([job(layer, sequence=3)]) != [0]
    assert valkey.client.xlen(layer.stream("room")) == 3


@pytest.mark.parametrize("bounds", [{"events": 5}, {"bytes": 10_000}])
async def test_the_oldest_go_first_and_that_is_known(
    make: Make, valkey: Valkey, bounds: dict[str, int]
) -> None:
    layer = make(**bounds)
    numbers = await layer.publish([job(layer, "x" * 1_800) for _ in range(7)])
    left = valkey.client.xrange(layer.stream("room"))
    assert [int(id.partition(b"-")[0]) for id, _ in left] == numbers[2:]
    assert int(valkey.client.hget(layer.known("room"), "d")) == numbers[1]
    assert int(valkey.client.hget(layer.known("room"), "l")) == numbers[-1]


async def test_events_of_one_message_count_each(make: Make, valkey: Valkey) -> None:
    layer = make(events=5)
    (first, second) = await layer.publish([job(layer, events=3), job(layer, events=3)])
    assert valkey.client.xlen(layer.stream("room")) == 1
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert int(valkey.client.hget(layer.known("room"), "d")) == first + 2


async def test_all_keys_end_by_themselves_and_are_in_one_slot(make: Make, valkey: Valkey) -> None:
    layer = make(lifetime=30)
    await layer.publish([job(layer, sequence=1)])
    keys = valkey.client.keys(f"{layer.prefix}:*")
    assert len(keys) == 4
    assert all(valkey.client.pttl(key) > 0 for key in keys)
    assert all(b":{realtime}:" in key for key in keys)


async def test_a_secret_is_not_in_the_name_of_its_key(make: Make) -> None:
    assert "the secret" not in make().session("the secret")


async def test_a_full_redis_refuses_and_says_so(make: Make, new_valkey: Any) -> None:
    valkey = new_valkey()
    pool = create_pool({"address": valkey.url, "protocol": 2})
    layer = LogLayer(pool.make_connection, "p", "s", RecoveryOptions(60), 60)
    hear = await hearing(layer, "room")
    valkey.client.config_set("maxmemory", 1)
    (answer,) = await layer.publish([job(layer)])
    assert isinstance(answer, Exception)
    await layer.publish([job(layer, "still sent")._replace(streams=())])
    assert (await hear())["name"] == "still sent"
    valkey.client.config_set("maxmemory", 0)
    (answer,) = await layer.publish([job(layer)])
    assert isinstance(answer, int)
    await layer.close_pools()


async def test_scripts_that_somebody_has_flushed_are_loaded_again(
    make: Make, valkey: Valkey
) -> None:
    layer = make()
    await layer.publish([job(layer)])
    valkey.client.script_flush()
    (number,) = await layer.publish([job(layer)])
    assert isinstance(number, int)


async def test_an_end_of_the_connection_is_told(make: Make, new_valkey: Any) -> None:
    valkey = new_valkey()
    pool = create_pool({"address": valkey.url, "protocol": 2})
    layer = LogLayer(pool.make_connection, "p", "s", RecoveryOptions(60), 60)
    hear = await hearing(layer, "room")
    await asyncio.to_thread(valkey.restart)
    with pytest.raises(Disconnected):
        await hear()
    await layer.close_pools()


async def test_processes_on_the_pubsub_layer_understand_it(make: Make, valkey: Valkey) -> None:
    layer = make()
    other = RedisPubSubChannelLayer(hosts=[valkey.url], prefix=layer.prefix)
    channel = await other.new_channel()
    await other.group_add("room", channel)
    hear = await hearing(layer, "room")
    async with asyncio.timeout(DEADLINE):
        await other.group_send("room", {"name": "theirs"})
        assert (await hear())["name"] == "theirs"
        await layer.publish([job(layer, "ours")])
        assert (await other.receive(channel))["name"] == "theirs"
        assert (await other.receive(channel))["name"] == "ours"
    await other.flush()


@pytest.mark.parametrize(
    ("make_layer", "why"),
    [
        (lambda: RedisPubSubChannelLayer(hosts=["redis://a"]), ""),
        (lambda: RedisPubSubChannelLayer(["redis://a"]), ""),
        (lambda: RedisPubSubChannelLayer(hosts=["redis://a", "redis://b"]), "hosts"),
        (
            lambda: RedisPubSubChannelLayer(hosts=["redis://a"], serializer_format="json"),
            "serializer",
        ),
        (lambda: RedisChannelLayer(hosts=["redis://a"]), "RedisChannelLayer"),
        (object, "object"),
    ],
)
async def test_which_layers_keep_a_log(make_layer: Callable[[], Any], why: str) -> None:
    found = why_not(make_layer())
    assert why in found
    assert bool(why) == bool(found)
