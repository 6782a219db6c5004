"""A server whose clock is two days ahead, as the others and itself see it."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.conftest import Connect
from tests.clusters import LiveCluster
from tests.live import LiveServer
from tests.valkey import Valkey

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_clock_that_is_two_days_ahead(
    valkey: Valkey, join: Connect, layer: str, kind: str
) -> None:
    cluster = LiveCluster((kind, "daphne", "uvicorn"), valkey, layer=layer)
    cluster.servers[0] = LiveServer(
        kind,
        settings="tests.site.settings",
        env=cluster.env,
        database=cluster.database,
        application="tests.site.ahead:application",
    )
    try:
        await asyncio.to_thread(cluster.start)
        off, *others = [await join(server, "room") for server in cluster]
        server = off.sid[:6]
        ahead = r"ahead=172[789]\d\d\.\d"
        await cluster[0].logged(f"clock-off server={server} own=True {ahead}", 60)
        for index, _ in enumerate(others, 1):
            await cluster[index].logged(f"clock-off server={server} own=False {ahead}", 60)
        assert cluster[0].get("/health/ready").json()["problems"].count("clock-off") == 1
    finally:
        await asyncio.to_thread(cluster.close)
