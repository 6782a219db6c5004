"""Each test has an empty database that threads can share; presence is off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from realtime.outside import process
from realtime.sockets import claims


@pytest.fixture(autouse=True)
async def _database(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Do not wait long for a database that is away, and leave none of its connections open."""
    monkeypatch.setattr(claims, "MAX_RETRY", 0.02)
    yield
    running = process._hubs.get(asyncio.get_running_loop())
    if running is not None:
        await running.close(grace=0.5)
