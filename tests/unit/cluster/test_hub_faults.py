"""Hubs whose layer fails, hangs, forgets, loses, repeats, or is full."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import HUBS, group_name
from realtime.cluster.targets import Target
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import EXPIRY, Start, Two, until
from .layer import Bus


async def numbers(client: Client, count: int) -> list[Any]:
    """Return the arguments of the next "said"s."""
    return [(await client.receive(DEADLINE))[1] for _ in range(count)]


def words(records: list[Any]) -> list[str]:
    """Return the words of the layer's log lines."""
    return [record.args[0] for record in records if record.args[0].startswith("layer-")]


def told_lost(records: list[Any]) -> list[dict[str, Any]]:
    """Return the fields of the log lines about lost messages."""
    return [record.realtime for record in records if record.args[0] == "layer-lost"]


def lost(bus: Bus, *places: int) -> None:
    """Lose the messages of rooms at these places of their lanes."""
    bus.copies = lambda channel, message: int(message["place"] not in places)


# Outages


async def test_an_outage_and_its_end(two: Two, bus: Bus, records: list[Any]) -> None:
    near, far = await two[0].client("a"), await two[1].client("a")
    two[0].emit(("a",), 0)
    assert await numbers(far, 1) == [0]
    for server in two:
        server.layer.fail()
    for number in range(1, 100):
        two[0].emit(("a",), number)
        two[0].emit((), number)  # in another lane
    assert await numbers(near, 199) == [0, *(n for n in range(1, 100) for _ in range(2))]
    async with asyncio.timeout(DEADLINE):  # a new client does not wait for the layer
        late = await two[1].client("b")
    assert not two[1].cluster.link.up.is_set()
    bus.forget()
    for server in two:
        server.layer.resume()
    await until(lambda: all(server.cluster.link.up.is_set() for server in two))
    two[0].emit(("b",), "late")
    assert await numbers(far, 198) == [n for n in range(1, 100) for _ in range(2)]
    assert await numbers(late, 100) == [*range(1, 100), "late"]
    assert two[1].cluster.lost == 0
    assert words(records).count("layer-down") == words(records).count("layer-back") == 2


async def test_only_volatile_messages_are_not_kept_for_later(two: Two) -> None:
    far = await two[1].client("a")
    two[0].layer.fail()
    await until(lambda: not two[0].cluster.link.up.is_set())
    two[0].hub.emit(Target("/", ("a",)), Message("/", "said", ("volatile",), volatile=True))
    two[0].emit(("a",), "kept")
    two[0].layer.resume()
    assert await numbers(far, 1) == ["kept"]
    assert not far.pending()


@pytest.mark.expiry
async def test_nobody_is_taken_for_dead_while_the_layer_is_down(two: Two) -> None:
    for server in two:
        server.layer.fail()
    await asyncio.sleep(2 * EXPIRY)  # this is what is tested: time passes
    assert two[0].knows(two[1])
    for server in two:
        server.layer.resume()
    await until(lambda: all(server.cluster.link.up.is_set() for server in two))
    assert two[0].knows(two[1])
    assert two[1].knows(two[0])


async def test_a_start_without_a_layer(
    start: Start, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await start()
    monkeypatch.setattr("tests.unit.cluster.conftest.until", _do_not_wait)
    connect = bus.connect

    def connect_broken() -> Any:
        layer = connect()
        layer.fail()
        return layer

    monkeypatch.setattr(bus, "connect", connect_broken)
    two = await start()
    client = await two.client("a")
    two.emit(("a",), "at home")
    assert await numbers(client, 1) == ["at home"]
    two.layer.resume()
    await until(lambda: one.knows(two) and two.knows(one))
    one.emit(("a",), "from abroad")
    assert await numbers(client, 1) == ["from abroad"]


async def _do_not_wait(condition: Any) -> None:
    pass


@pytest.mark.expiry
async def test_a_layer_that_swallows_calls(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    for module in ("layer_connection", "heartbeats", "memberships", "cluster"):
        monkeypatch.setattr(f"realtime.cluster.{module}.CALL_TIMEOUT", 0.2)
    near, far = await two[0].client("a"), await two[1].client("a")
    two[0].layer.swallow("group_send")  # as a network does that drops packets
    for number in range(10):
        two[0].emit(("a",), number)
    assert await numbers(near, 10) == list(range(10))
    await until(lambda: "layer-down" in words(records))
    two[0].layer.resume()
    assert await numbers(far, 10) == list(range(10))
    await until(two[0].cluster.link.up.is_set)


@pytest.mark.expiry
async def test_a_hub_that_hears_nothing(two: Two, records: list[Any]) -> None:
    far = await two[1].client("a")
    two[1].layer.swallow("receive")
    await until(lambda: "layer-deaf" in words(records))
    two[1].layer.resume()
    await until(lambda: "layer-back" in words(records))
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]
    assert two[1].knows(two[0])


@pytest.mark.slow
@pytest.mark.expiry
async def test_a_layer_object_beyond_help(
    two: Two, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    far = await two[1].client("a")
    monkeypatch.setattr(two[1].cluster, "_new_layer", bus.connect)
    two[1].layer.swallow("receive")  # as one whose reader has ended: for ever
    await until(lambda: "layer-back" in words(records))
    assert two[1].cluster.link.layer is not two[1].layer
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]
    assert two[1].knows(two[0])
    channels = {channel for channels in bus.groups.values() for channel in channels}
    assert len(channels) == 2  # nobody sends to the old one any more


@pytest.mark.slow
@pytest.mark.expiry
async def test_a_layer_object_that_is_only_slow(
    two: Two, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """What waits for its channel would be lost with it."""
    monkeypatch.setattr(two[1].cluster, "_new_layer", bus.connect)
    far = await two[1].client("a")
    own = two[1].hub.server_id
    bus.copies = lambda channel, message: int(message["server"] != own)
    await until(lambda: "layer-still-down" in words(records))
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]
    bus.copies = lambda channel, message: 1
    await until(lambda: "layer-back" in words(records))
    assert two[1].cluster.link.layer is two[1].layer


@pytest.mark.slow
@pytest.mark.expiry
async def test_layer_objects_are_not_taken_for_ever(
    two: Two, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """Where a new one does not help, it is not the object's fault."""
    made: list[Any] = []

    def connect() -> Any:
        made.append(bus.connect())
        made[-1].swallow("receive")
        return made[-1]

    monkeypatch.setattr(two[1].cluster, "_new_layer", connect)
    two[1].layer.swallow("receive")
    await until(lambda: words(records).count("layer-still-down") == 5)
    assert len(made) == 3  # after one silence, two and four
    made[-1].resume()
    await until(lambda: "layer-back" in words(records))


@pytest.mark.expiry
async def test_forgotten_groups(two: Two, bus: Bus, records: list[Any]) -> None:
    far = await two[1].client("a")
    bus.forget()  # and no call fails: the server was started again in between
    await until(lambda: words(records).count("layer-back") == 2)
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]


@pytest.mark.slow
async def test_old_memberships_are_renewed_while_beats_go_on(start: Start, bus: Bus) -> None:
    one = await start()
    bus.group_expiry = 0.4
    two = await start()
    far = await two.client("a")
    bus.forget()
    group = group_name("/", "a")
    await until(lambda: bus.groups.get(group) and bus.groups.get(HUBS))
    two.layer.hang("group_add")
    await until(lambda: two.layer.held)
    beats = two.layer.calls["group_send"]
    await until(lambda: two.layer.calls["group_send"] > beats + 5)
    assert one.knows(two)
    two.layer.resume()
    one.emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]
