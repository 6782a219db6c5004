"""Several hubs do together what one does alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import (
    HUBS,
    group_name,
)
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, Two, until
from .layer import Bus

Three = tuple[Server, Server, Server]


async def said(client: Client) -> Any:
    """Return the arguments of the next "said"."""
    event, *args = await client.receive(DEADLINE)
    assert event == "said"
    return args[0] if len(args) == 1 else tuple(args)


# Sending


async def test_a_broadcast(three: Three) -> None:
    clients = [await server.client() for server in three]
    three[0].emit((), "hi", b"\x00", {"deep": b"\x01"})
    for client in clients:
        assert await said(client) == ("hi", b"\x00", {"deep": b"\x01"})


async def test_rooms(three: Three) -> None:
    one, two, three_ = [await server.client("a") for server in three]
    both, other = await three[1].client("a", "b"), await three[2].client("b")
    three[0].emit(("a",), "a")
    three[0].emit(("a", "b"), "a or b")
    three[0].emit((), "not b", without=("b",))
    three[0].emit((other.sid,), "other")
    three[0].emit((), "last")
    for client in (one, two, three_):
        assert [await said(client) for _ in range(4)] == ["a", "a or b", "not b", "last"]
    assert [await said(both) for _ in range(3)] == ["a", "a or b", "last"]
    assert [await said(other) for _ in range(3)] == ["a or b", "other", "last"]
    assert not any(client.pending() for client in (one, two, three_, both, other))


def note_sends(server: Server, room: str) -> list[str]:
    """Return a list that grows with each message that a hub sends to a room's group."""
    sent: list[str] = []
    group, send = group_name("/", room), server.layer.group_send

    async def group_send(name: str, message: dict[str, Any]) -> None:
        if name == group:
            sent.append(name)
        await send(name, message)

    server.layer.group_send = group_send  # type: ignore[method-assign]
    return sent


async def test_a_broadcast_costs_one_layer_message_however_many_clients(three: Three) -> None:
    clients = [await three[1].client("a") for _ in range(50)]
    sent = note_sends(three[0], "a")
    three[0].emit(("a",), "hi")
    for client in clients:
        assert await said(client) == "hi"
    assert len(sent) == 1


async def test_what_comes_while_a_publish_is_in_flight_is_gathered(three: Three) -> None:
    client = await three[1].client("a")
    three[0].layer.hang("group_send")
    for number in range(1000):
        three[0].emit(("a",), number)
    sent = note_sends(three[0], "a")
    three[0].layer.resume()
    assert [await said(client) for _ in range(1000)] == list(range(1000))
    assert len(sent) <= 4
    assert three[1].cluster.lost == 0


async def test_nobody_outside_a_room_gets_its_messages(three: Three, bus: Bus) -> None:
    await three[1].client("a")
    sent = []
    bus.copies = lambda channel, message: sent.append((channel, message["lane"])) or 1  # type: ignore[func-returns-value]
    three[0].emit(("a",), "hi")
    group = group_name("/", "a")
    await until(lambda: any(lane == group for _, lane in sent))
    assert len([channel for channel, lane in sent if lane == group]) == 1


async def test_leaving_a_room_ends_its_group(three: Three, bus: Bus) -> None:
    client = await three[1].client("a")
    group = group_name("/", "a")
    assert len(bus.groups[group]) == 1
    await client.call("leave", "a")
    assert not bus.groups[group]
    await client.call("join", "a")
    assert len(bus.groups[group]) == 1
    await client.disconnect()
    await until(lambda: not bus.groups[group] and not bus.groups[group_name("/")])


async def test_memberships_are_in_effect_before_the_client_is_told(three: Three, bus: Bus) -> None:
    three[1].layer.hang("group_add")
    connecting = asyncio.create_task(three[1].client("a"))
    await until(lambda: three[1].layer.calls["group_add"] >= 3)
    assert not connecting.done()
    three[1].layer.resume()
    client = await connecting
    three[0].emit(("a",), "hi")
    assert await said(client) == "hi"
    three[1].layer.hang("group_add")
    asked = three[1].layer.calls["group_add"]
    joining = asyncio.create_task(client.call("join", "b"))
    await until(lambda: three[1].layer.calls["group_add"] > asked)
    assert group_name("/", "b") not in bus.groups
    assert not joining.done()
    three[1].layer.resume()
    assert await joining == ["a", "b"]


# Commands


async def test_remote_join_leave_and_close(three: Three) -> None:
    one, two = await three[1].client("a"), await three[2].client("a")
    three[0].command(("a",), "join", "b", "c")
    three[0].emit(("b",), "right after")  # before the others are in the room's group
    for client in (one, two):
        assert await said(client) == "right after"
    three[0].command((one.sid,), "leave", "b")
    await three[0].cluster.flush_cluster()
    three[0].emit(("b",), "b")
    three[0].emit(("c",), "c")
    assert await said(one) == "c"
    assert [await said(two), await said(two)] == ["b", "c"]
    three[0].command(("c",), "close")
    await one.closed(DEADLINE)
    await two.closed(DEADLINE)


async def test_flush_cluster_waits_for_the_others(three: Three, bus: Bus) -> None:
    client = await three[1].client("a")
    three[1].layer.hang("group_add")
    asked = three[1].layer.calls["group_add"]
    three[0].command(("a",), "join", "b")
    settling = asyncio.create_task(three[0].cluster.flush_cluster())
    await until(lambda: three[1].layer.calls["group_add"] > asked)
    assert not settling.done()
    three[1].layer.resume()
    await settling
    assert bus.groups[group_name("/", "b")]
    await client.disconnect()


async def test_flush_cluster_does_not_wait_for_what_was_lost(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.cluster.cluster.SUBSCRIBE_TIMEOUT", 0.2)
    bus.copies = lambda channel, message: int(not message["number"])  # beats alone arrive
    async with asyncio.timeout(DEADLINE):
        await three[0].cluster.flush_cluster()
    assert any(record.msg == "%s %s" and record.args[0] == "layer-slow" for record in records)


# Who is there


async def test_reports(three: Three) -> None:
    await three[1].client("a")
    two = three[1].hub.server_id
    await until(lambda: three[0].cluster.reports()[two].get("sockets") == 1)
    assert set(three[0].cluster.reports()) == {server.hub.server_id for server in three[1:]}


async def test_a_stopped_hub_is_forgotten_at_once(three: Three, bus: Bus) -> None:
    await three[2].client("a")
    await three[2].hub.close(grace=0.5)
    await until(lambda: three[0].knows(three[1]) and three[1].knows(three[0]))
    assert not bus.groups[group_name("/", "a")]
    assert len(bus.groups[HUBS]) == 2


async def test_what_is_said_last_is_sent_before_a_hub_stops(three: Three) -> None:
    client = await three[1].client("a")
    three[0].layer.hang("group_send")
    for number in range(20):
        three[0].emit(("a",), number)
        three[0].emit(("b",), "to nobody")
    closing = asyncio.create_task(three[0].hub.close(grace=0.5))
    await until(lambda: three[0].hub.closing)
    three[0].layer.resume()
    await closing
    assert [await said(client) for _ in range(20)] == list(range(20))


@pytest.mark.expiry
async def test_a_dead_hub_is_noticed(three: Three, records: list[Any]) -> None:
    three[2].kill()
    await until(lambda: three[0].knows(three[1]) and three[1].knows(three[0]))
    assert {"server": three[2].hub.server_id} in [
        record.realtime for record in records if record.args[0] == "server-gone"
    ]


async def test_a_hub_alone(start: Start) -> None:
    alone = await start()
    client = await alone.client("a")
    client.answer("question", 1)
    alone.emit(("a",), "hi")
    assert await said(client) == "hi"
    assert await alone.call(("a",), timeout=60) == {client.sid: 1}
    await alone.cluster.flush_cluster()


async def test_a_hub_that_has_just_started_waits_until_it_has_heard_of_others(two: Two) -> None:
    """What it asks of clients is in effect with those, too."""
    old, new = two
    new.layer.hang("receive")
    new.cluster.peers._peers.clear()
    new.cluster.peers._known.clear()
    new.cluster._all_heard_by = new.hub.loop.time() + DEADLINE
    flushing = asyncio.ensure_future(new.cluster.flush_cluster())
    await asyncio.sleep(0)
    new.layer.resume()
    await flushing
    assert new.knows(old)
