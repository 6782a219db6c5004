"""Whether a hub gets new clients, by how it hears the others."""

from __future__ import annotations

import pytest

from realtime.hub import health

from .conftest import Start, Two, until
from .layer import Bus


def words(hub: object) -> set[str]:
    """Return the words for what is wrong with a hub."""
    return {problem["problem"] for problem in health.problems(hub)}  # type: ignore[arg-type]


async def test_not_before_it_has_heard_itself(start: Start, bus: Bus) -> None:
    bus.copies = lambda channel, message: 0
    server = await start()
    assert words(server.hub) == {"starting"}
    assert not health.is_ready(server.hub)
    bus.copies = lambda channel, message: 1
    await until(lambda: health.is_ready(server.hub))
    assert not words(server.hub)


async def test_a_new_one_waits_for_the_end_of_an_outage(start: Start) -> None:
    """It may be its own settings that are wrong: nobody knows whether it ever hears anybody."""
    server = await start()
    await until(lambda: health.is_ready(server.hub))
    server.layer.fail()
    server.cluster.heard = False
    await until(lambda: words(server.hub) == {"starting", "layer-down"})
    assert not health.is_ready(server.hub)
    server.layer.resume()
    await until(lambda: health.is_ready(server.hub))


async def test_an_outage_takes_nobody_out(two: Two) -> None:
    await until(lambda: all(health.is_ready(server.hub) for server in two))
    for server in two:
        server.layer.fail()
    await until(lambda: all(words(server.hub) == {"layer-down"} for server in two))
    assert all(health.is_ready(server.hub) for server in two)
    for server in two:
        server.layer.resume()
    await until(lambda: not any(words(server.hub) for server in two))


@pytest.mark.expiry
async def test_one_that_hears_nothing_is_out(two: Two, bus: Bus) -> None:
    """What it sends is taken, and arrives at the others: it is its own ear that is broken."""
    deaf, well = two
    await until(lambda: all(health.is_ready(server.hub) for server in two))
    own = deaf.cluster.beats.channel.partition("!")[0]
    bus.copies = lambda channel, message: 0 if channel.startswith(own) else 1
    await until(lambda: words(deaf.hub) == {"layer-deaf"})
    assert not health.is_ready(deaf.hub)
    assert health.is_ready(well.hub)

    # Where the layer does not even take anything, nobody can tell whose fault it is.
    deaf.layer.fail()
    await until(lambda: words(deaf.hub) == {"layer-down"})
    assert health.is_ready(deaf.hub)

    deaf.layer.resume()
    await until(lambda: words(deaf.hub) == {"layer-deaf"})
    bus.copies = lambda channel, message: 1
    await until(lambda: not words(deaf.hub) and health.is_ready(deaf.hub))
