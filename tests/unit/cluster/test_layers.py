"""Whose layer object it is: the site's, or that of one user alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from realtime.cluster.cluster import Cluster
from realtime.cluster.layers import close_layer, new_layer
from realtime.cluster.standalone import LocalCluster
from realtime.hub.hub import Hub
from tests.unit.probes import DEADLINE
from tests.valkey import Valkey

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.fixture(params=[CORE, PUBSUB])
def backend(request: pytest.FixtureRequest, settings: Any) -> str:
    """Each layer of channels_redis, as the site's settings have it."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": request.param, "CONFIG": {"prefix": "x"}}}
    return str(request.param)


def test_each_user_has_its_own(backend: str) -> None:
    one, two, shared = new_layer("default"), new_layer("default"), get_channel_layer()
    assert len({id(layer) for layer in (one, two, shared)}) == 3
    assert type(one) is type(two) is type(shared)


def test_no_layer(backend: str) -> None:
    assert new_layer("other") is None


@pytest.mark.parametrize("alias", ["default", "other"])
def test_what_is_put_in_its_place_is_used(backend: str, alias: str) -> None:
    layer = InMemoryChannelLayer()
    channel_layers.set(alias, layer)
    assert new_layer(alias) is layer


async def test_a_hub_leaves_the_sites_layer_alone(settings: Any, valkey: Valkey) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": CORE, "CONFIG": {"hosts": [valkey.url]}}}
    hub = Hub()
    assert isinstance(hub.cluster, Cluster)
    assert hub.cluster.link.layer is not get_channel_layer()
    await hub.close()


async def test_a_hub_with_a_layer_in_its_place(backend: str) -> None:
    class Own(InMemoryChannelLayer):
        """A site's own, which leads nowhere else either."""

    channel_layers.set("default", Own())
    hub = Hub()
    assert isinstance(hub.cluster, LocalCluster)
    await hub.close()


# Closing


@pytest.mark.parametrize("make", [RedisChannelLayer, RedisPubSubChannelLayer])
async def test_closing_ends_connections_and_nothing_else(make: Any, new_valkey: Any) -> None:
    valkey = new_valkey()
    layer, other = (make(hosts=[valkey.url]) for _ in range(2))
    channels = [await layer.new_channel(), await other.new_channel()]
    for one, channel in zip((layer, other), channels, strict=True):
        await one.group_add("group", channel)
    await layer.group_send("group", {"type": "first"})
    kept = {connection["id"] for connection in valkey.connections()}
    await close_layer(layer)
    left = await asyncio.to_thread(valkey.wait_connections, lambda count: count < len(kept))
    assert left
    async with asyncio.timeout(DEADLINE):
        assert await other.receive(channels[1]) == {"type": "first"}
    await close_layer(other)
    await asyncio.to_thread(valkey.wait_connections, lambda count: not count)


async def test_closing_what_cannot_be_closed() -> None:
    await close_layer(InMemoryChannelLayer())

    class Broken:
        async def close_pools(self) -> None:
            raise ConnectionError("gone")

    await close_layer(Broken())
