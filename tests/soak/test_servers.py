"""As many visits as a day has, at a real server: its memory ends where it began."""

from __future__ import annotations

import pytest

from tests.clients.test_leaks import TIMES, at_rest, come_and_go, grown
from tests.conftest import ServerFactory

# The first visits are for what a server makes once. After them the heap finds its shape by a few
# steps that depend on what was at the same time; a leak goes on.
WARM_UP, VISITS, PARTS = 1_500, 1_000, 4
STEPS = 10 * 1024 * 1024
LEAK = 4 * 1024 * 1024


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_memory_of_a_server(kind: str, new_server: ServerFactory) -> None:
    server = new_server(kind, realtime=TIMES)
    await come_and_go(server, WARM_UP)
    before = await at_rest(server)
    memory = [server.rss()]
    for _ in range(PARTS):
        await come_and_go(server, VISITS)
        after = await at_rest(server)
        memory.append(server.rss())
    print(f"{kind}: {[round(size / 2**20, 1) for size in memory]} MiB after each {VISITS} visits")
    assert grown(before, after) == {}
    assert memory[-1] - memory[0] < STEPS, memory
    assert memory[-1] - memory[PARTS // 2] < LEAK, memory
