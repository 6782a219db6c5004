"""Messages that are lost, come twice, or do not fit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import group_name
from tests.unit.cluster.test_hub_faults import lost, numbers, told_lost, words

from .conftest import BEAT, Start, Two, until
from .layer import Bus


async def test_lost_messages_are_counted_and_logged(
    two: Two, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.utils.limits.LOG_INTERVAL", 60)
    monkeypatch.setattr("realtime.cluster.loss_log.LOG_INTERVAL", 60)
    far = await two[1].client("a")
    lost(bus, 2, 3, 5)
    for number in range(1, 7):
        two[0].emit(("a",), number)
        await two[0].cluster.publisher.drain(0)  # each in a message of its own
    assert await numbers(far, 3) == [1, 4, 6]
    assert two[1].cluster.lost == 3
    assert told_lost(records) == [{"server": two[0].hub.server_id, "lost": 2}]
    await two[0].close()  # what was not told yet is told when its server leaves
    await until(lambda: len(told_lost(records)) == 2)
    assert told_lost(records)[1] == {"server": two[0].hub.server_id, "lost": 1}


async def test_the_loss_of_the_last_message_is_noticed(two: Two, bus: Bus) -> None:
    far = await two[1].client("a")
    lost(bus, 2, 3)
    for number in range(1, 4):
        two[0].emit(("a",), number)
        await two[0].cluster.publisher.drain(0)
    assert await numbers(far, 1) == [1]
    await until(lambda: two[1].cluster.lost == 2)
    two[0].emit(("a",), 4)
    assert await numbers(far, 1) == [4]
    assert two[1].cluster.lost == 2


async def test_a_message_that_comes_twice_is_handled_once(two: Two, bus: Bus) -> None:
    far = await two[1].client("a")
    bus.copies = lambda channel, message: 2
    for number in range(5):
        two[0].emit(("a",), number)
        await two[0].cluster.publisher.drain(0)
    two[0].emit((far.sid,), "last")
    assert await numbers(far, 6) == [*range(5), "last"]
    assert not far.pending()
    assert two[1].cluster.lost == 0


async def test_what_comes_of_a_membership_that_ends_is_no_sign_of_a_loss(
    two: Two, bus: Bus
) -> None:
    """The layer takes its time to let a hub leave a room, which it wants to be in again."""
    far = await two[1].client("a")

    async def send(number: int) -> None:
        two[0].emit(("a",), number)
        await two[0].cluster.publisher.drain(0)
        two[0].emit((far.sid,), number)  # behind the other
        assert await numbers(far, 1) == [number]

    two[0].emit(("a",), 0)
    assert await numbers(far, 1) == [0]
    two[1].layer.hang("group_discard")
    two[1].hub.registry.leave(two[1].hub.registry.sockets[far.sid], "a")
    await until(lambda: two[1].layer.held)
    await send(1)
    two[1].hub.registry.join(two[1].hub.registry.sockets[far.sid], "a")
    two[0].emit(("a",), 2)
    assert await numbers(far, 1) == [2]
    two[1].layer.hang("group_add")
    await until(lambda: not bus.groups[group_name("/", "a")])
    await send(3)
    two[1].layer.resume()
    await two[1].cluster.flush_local()
    two[0].emit(("a",), 4)
    assert await numbers(far, 1) == [4]
    assert two[1].cluster.lost == 0
    await two[0].cluster.beats.say()
    two[0].emit(("a",), 5)
    assert await numbers(far, 1) == [5]
    assert two[1].cluster.lost == 0


@pytest.mark.slow
@pytest.mark.parametrize("where", ["room", "namespace", "client", "rooms"])
@pytest.mark.parametrize("away", [0, 3])
@pytest.mark.expiry
async def test_what_is_sent_again_after_a_lost_answer_is_handled_once(
    start: Start, records: list[Any], where: str, away: int
) -> None:
    """However long the sender was cut off: the others take it for dead meanwhile."""
    one, two, three = await start(), await start(), await start()
    far = [await server.client("a") for server in (two, three)]
    rooms = {"room": ("a",), "namespace": (), "client": (far[0].sid,), "rooms": ("a", "b")}[where]
    heard = far[:1] if where == "client" else far
    for round_ in range(2):
        one.emit(rooms, 10 * round_)
        await one.cluster.publisher.drain(0)
        one.layer.lose_answers("group_send", "send")
        one.emit(rooms, 10 * round_ + 1)
        await until(lambda: not one.cluster.link.up.is_set())
        for number in range(2, 10):
            one.emit(rooms, 10 * round_ + number)
        if away:
            await until(lambda: two.knows(three) and three.knows(two))
            await asyncio.sleep(away * BEAT)  # this is what is tested: time passes
        one.layer.resume()
        await until(lambda: two.knows(one, three) and three.knows(one, two))
    for client in heard:
        assert await numbers(client, 20) == list(range(20))
    await one.cluster.flush_cluster()
    assert not any(client.pending() for client in far)
    assert (two.cluster.lost, three.cluster.lost) == (0, 0)


@pytest.mark.slow
@pytest.mark.expiry
async def test_thousands_of_clients_hear_once_what_is_sent_again(start: Start) -> None:
    one, two, three = await start(), await start(), await start()
    far = [await server.client("a") for server in (two, three) for _ in range(1_000)]
    one.emit(("a",), 0)
    await one.cluster.publisher.drain(0)
    one.layer.lose_answers("group_send")
    one.emit(("a",), 1)
    await until(lambda: not one.cluster.link.up.is_set())
    await until(lambda: two.knows(three) and three.knows(two))
    one.layer.resume()
    one.emit(("a",), 2)
    for client in far:
        assert await numbers(client, 3) == [0, 1, 2]
    assert not any(client.pending() for client in far)


async def test_what_is_sent_again_while_clients_leave_a_room_and_join_it(two: Two) -> None:
    far = await two[1].client("a")
    two[0].emit(("a",), 0)
    await two[0].cluster.publisher.drain(0)
    two[0].layer.lose_answers("group_send")
    two[0].emit(("a",), 1)
    assert await numbers(far, 2) == [0, 1]
    await until(lambda: not two[0].cluster.link.up.is_set())
    await far.call("leave", "a")
    await far.call("join", "a")
    two[0].emit(("a",), 2)
    two[0].layer.resume()
    assert await numbers(far, 1) == [2]
    assert two[1].cluster.lost == 0


async def test_a_slow_message_is_not_taken_for_a_lost_one(two: Two) -> None:
    far = await two[1].client("a")
    two[0].emit(("a",), 1)
    assert await numbers(far, 1) == [1]
    two[0].layer.hang("group_send", name=group_name("/", "a"))
    two[0].emit(("a",), 2)
    beats = two[0].layer.calls["group_send"]
    await until(lambda: two[0].layer.calls["group_send"] > beats + 5)
    two[0].layer.resume()
    assert await numbers(far, 1) == [2]
    assert two[1].cluster.lost == 0


async def test_what_is_sent_while_nobody_is_in_a_room_is_not_lost(two: Two) -> None:
    await two[1].client("a")
    keeper = await two[1].client()
    for number in range(5):
        two[0].emit(("a",), number)  # some arrive while the room is being left
        await two[0].cluster.publisher.drain(0)
        if number == 2:
            two[1].command(("a",), "leave", "a")
    await two[1].cluster.flush_local()
    two[0].emit(("a",), "to nobody")
    await two[0].cluster.publisher.drain(0)
    await keeper.call("join", "a")
    two[0].emit(("a",), "back")
    assert await numbers(keeper, 1) == ["back"]
    assert two[1].cluster.lost == 0


async def test_full_queues(
    two: Two, bus: Bus, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.utils.limits.LOG_INTERVAL", 60)
    monkeypatch.setattr("realtime.cluster.loss_log.LOG_INTERVAL", 60)
    far = await two[1].client("a")
    two[0].emit(("a",), 0)
    assert await numbers(far, 1) == [0]
    two[1].layer.hang("receive")
    bus.capacity = 3
    for number in range(1, 20):
        two[0].emit(("a",), number)
        await two[0].cluster.publisher.drain(0)
        two[0].emit((far.sid,), number)
        await two[0].cluster.publisher.drain(0)
    refused = two[0].cluster.lost
    assert refused >= 17  # those that went straight to the process
    (line,) = told_lost(records)
    assert line["lost"] == 1
    assert "ChannelFull" in line["error"]
    bus.capacity = 1000
    two[1].layer.resume()
    two[0].emit(("a",), "last")
    heard: list[Any] = []
    while "last" not in heard:
        heard += await numbers(far, 1)
    assert heard.pop() == "last"
    assert heard == sorted(heard)
    assert two[1].cluster.lost >= 17
    await two[0].close()
    assert sum(line["lost"] for line in told_lost(records) if "lane" in line) == refused


async def test_a_full_backlog(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    monkeypatch.setattr("realtime.cluster.publisher.BACKLOG_BYTES", 10_000)
    near, far = await two[0].client("a"), await two[1].client("a")
    two[0].layer.hang("group_send")
    for number in range(20):
        two[0].emit(("a",), number, "x" * 1000)
    assert await numbers(near, 20) == list(range(20))  # at home nothing is lost
    assert two[0].cluster.publisher.backlog <= 10_000
    two[0].layer.resume()
    heard = await numbers(far, 9)
    assert heard == list(range(9))
    assert two[0].cluster.lost == 11
    await two[0].cluster.drain()
    await until(lambda: "layer-backlog-sent" in words(records))
    assert words(records) == ["layer-backlog-full", "layer-backlog-sent"]


async def test_a_handler_that_fails_does_not_harm_what_arrives_with_it(
    two: Two, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    far = await two[1].client("a")
    receive = two[1].cluster._receiver._actions.receive

    def fail_once(*args: Any) -> None:
        monkeypatch.setattr(two[1].cluster._receiver._actions, "receive", receive)
        raise RuntimeError("once")

    monkeypatch.setattr(two[1].cluster._receiver._actions, "receive", fail_once)
    two[0].layer.hang("group_send")
    for number in range(4):
        two[0].emit(("a",), number)
    two[0].layer.resume()
    heard = await numbers(far, 2)
    assert heard[-1] == 3 or await numbers(far, 1) == [3]
    assert "layer-error" in words(records)
