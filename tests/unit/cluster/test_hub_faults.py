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

from .conftest import BEAT, EXPIRY, Server, Start, until
from .layer import Bus

Two = tuple[Server, Server]


@pytest.fixture
async def two(start: Start) -> Two:
    """Two hubs that know each other."""
    return await start(), await start()


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


async def test_a_hub_that_hears_nothing(two: Two, records: list[Any]) -> None:
    far = await two[1].client("a")
    two[1].layer.swallow("receive")
    await until(lambda: "layer-deaf" in words(records))
    two[1].layer.resume()
    await until(lambda: "layer-back" in words(records))
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]
    assert two[1].knows(two[0])


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


async def test_forgotten_groups(two: Two, bus: Bus, records: list[Any]) -> None:
    far = await two[1].client("a")
    bus.forget()  # and no call fails: the server was started again in between
    await until(lambda: words(records).count("layer-back") == 2)
    two[0].emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]


async def test_old_memberships_are_renewed_while_beats_go_on(start: Start, bus: Bus) -> None:
    one = await start()
    bus.group_expiry = 0.4
    two = await start()
    far = await two.client("a")
    bus.forget()
    group = group_name("/", "a")
    await until(lambda: bus.groups.get(group) and bus.groups.get(HUBS))
    two.layer.hang("group_add")
    asked = two.layer.calls["group_add"]
    await until(lambda: two.layer.calls["group_add"] > asked)
    beats = two.layer.calls["group_send"]
    await until(lambda: two.layer.calls["group_send"] > beats + 2 * EXPIRY / BEAT)
    assert one.knows(two)
    two.layer.resume()
    one.emit(("a",), "hi")
    assert await numbers(far, 1) == ["hi"]


# Messages that are lost, come twice, or do not fit


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


@pytest.mark.parametrize("where", ["room", "namespace", "client", "rooms"])
@pytest.mark.parametrize("away", [0, 3])
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
    deliver = two[1].cluster._receiver._actions.deliver

    def fail_once(emit: Any) -> None:
        monkeypatch.setattr(two[1].cluster._receiver._actions, "deliver", deliver)
        raise RuntimeError("once")

    monkeypatch.setattr(two[1].cluster._receiver._actions, "deliver", fail_once)
    two[0].layer.hang("group_send")
    for number in range(4):
        two[0].emit(("a",), number)
    two[0].layer.resume()
    heard = await numbers(far, 2)
    assert heard[-1] == 3 or await numbers(far, 1) == [3]
    assert "layer-error" in words(records)
