"""A client that is at another server than its sid names is found by that sid."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from pytest_django import Settings

from realtime.cluster.addressing import as_command, as_emit
from realtime.cluster.envelopes import Forward, encode, pack, server_group
from realtime.cluster.router import Router
from realtime.cluster.targets import Target
from realtime.hub import asking, deduplication, moves
from realtime.sockets.messages import Message
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
from .layer import Bus
from .moving import expect, known_at, leave, move, said

Three = tuple[Server, Server, Server]


@pytest.fixture(params=[True, False], ids=["recovery", "no recovery"], autouse=True)
def _recovery(request: pytest.FixtureRequest, settings: Settings) -> None:
    """Clients may move without recovery, too, where an upgrade reaches another process."""
    if request.param:
        settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 60}}


async def reach(senders: list[Server], client: Client, others: list[Client]) -> None:
    """Check that hubs reach a client by its sid, in order, and nobody else."""
    sid = client.sid
    client.answer("question", "yes")
    for sender in senders:
        room = f"room of {sender.hub.server_id}"
        sender.emit((sid,), "one")
        sender.emit((), "all")
        sender.emit((sid,), "two")
        sender.emit((), "all but one", without=(sid,))
        sender.hub.emit(Target("", (sid,), client=True), Message("/", "said", ("three",)))
        sender.hub.emit(Target("/", (sid,), client=True), Message("/", "said", ("four",)))
        sender.command((sid,), "join", room)
        sender.emit((sid,), "five")
        heard = [await said(client) for _ in range(6)]
        assert heard == ["one", "all", "two", "three", "four", "five"]
        for other in others:
            assert [await said(other) for _ in range(2)] == ["all", "all but one"]
        await sender.cluster.flush_cluster()
        sender.emit((room,), "room")
        assert await said(client) == "room"
        for namespace in (None, "/"):
            assert await asking.send_to_client(sender.hub, sid, namespace, "said", ("asked",))
            assert await said(client) == "asked"
        assert not await asking.send_to_client(sender.hub, sid, "/users", "said", ("nobody",))
        answers = await sender.call((sid,))
        assert (answers, answers.missing) == ({sid: "yes"}, [])
        assert await client.receive(DEADLINE) == ("question",)
        sender.command((sid,), "leave", room)
        await sender.cluster.flush_cluster()
        assert not await sender.call((room,))
    assert client.pending() == 0
    assert not any(other.pending() for other in others)


class Outside:
    """A process without clients, as a bus sees it."""

    def __init__(self, bus: Bus) -> None:
        self._layer = bus.connect()
        self._count = 0

    async def send(self, target: Target, *args: Any) -> None:
        """Send "said", whichever way leads to a target."""
        self._count += 1
        emit = as_emit(target, Message("/", "said", args), f"-outer.{self._count}")
        for lane in Router().lanes(target):
            await self._layer.group_send(lane.name, pack("-outer", lane.name, 0, 0, [encode(emit)]))


async def test_found_from_everywhere(three: Three, bus: Bus) -> None:
    client, *others = [await server.client() for server in three]
    client = await move(client, three[0], three[1])
    await reach(list(three), client, others)
    outside = Outside(bus)
    await outside.send(Target("/", (client.sid,)), "out")
    await outside.send(Target("", (client.sid,), client=True), "side")
    assert [await said(client) for _ in range(2)] == ["out", "side"]
    assert not client.pending()


async def test_a_close_finds_it(three: Three) -> None:
    for server in three:
        client = await move(await three[0].client(), three[0], three[1])
        server.command((client.sid,), "close")
        await client.closed(DEADLINE)


@pytest.mark.parametrize("end", ["stops", "dies"])
@pytest.mark.expiry
async def test_found_after_the_end_of_its_own_server(
    three: Three, start: Start, bus: Bus, end: str
) -> None:
    client, other = await three[0].client(), await three[2].client()
    client = await move(client, three[0], three[1])
    if end == "stops":
        await three[0].close()
    else:
        three[0].kill()
    await until(lambda: three[1].knows(three[2]) and three[2].knows(three[1]))
    late = await start(three[1:])
    eve = await late.client(client.sid)
    assert late.hub.is_sid(client.sid)
    await reach([three[1], three[2], late], client, [other, eve])
    await Outside(bus).send(Target("/", (client.sid,)), "out")
    assert await said(client) == "out"
    late.emit((eve.sid,), "last")
    assert await said(eve) == "last", "a room of a client's name is not that client"


async def test_round_and_round(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a machine stands still: what comes twice, and later, is no copy any more.
    monkeypatch.setattr(deduplication, "GRACE", 1.0)
    client = await three[0].client()
    sid, others = client.sid, [await server.client() for server in three]
    for before, to in [(0, 1), (1, 2), (2, 0), (0, 2), (2, 1), (1, 0)]:
        client = await move(client, three[before], three[to])
        if to:
            await known_at(three[0], sid, three[to])
        else:
            assert three[0].hub.moves.where(sid) is None
        await reach(list(three), client, others)
    client = await move(client, three[0], three[2])
    await leave(client, three[2])
    for server in three:
        await until(lambda server=server: is_empty(server))
        assert not await asking.send_to_client(server.hub, sid, None, "said", ())
        answers = await server.call((sid,))
        assert (answers, answers.missing) == ({}, [sid])


def is_empty(server: Server) -> bool:
    """Tell whether a hub remembers nothing of clients that have moved."""
    kept = server.hub.moves
    left = kept._away or kept._stays or kept._left or kept._homes
    return not (left or kept._seen or kept._timer)


async def test_groups_are_left_when_the_last_client_is_gone(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplication, "GRACE", 0.05)
    group = server_group(three[0].hub.server_id)
    assert len(bus.groups[group]) == 1
    one, two = [await move(await three[0].client(), three[0], three[1]) for _ in range(2)]
    assert len(bus.groups[group]) == 2
    await leave(one, three[1])
    two = await move(two, three[1], three[2])
    await until(lambda: len(bus.groups[group]) == 2 and is_empty(three[1]))
    await leave(two, three[2])
    await until(lambda: len(bus.groups[group]) == 1 and is_empty(three[2]))
    assert is_empty(three[0])


async def test_one_that_does_not_come(three: Three, bus: Bus) -> None:
    client = await three[0].client()
    await expect(three[1], client.sid)
    three[1].emit((client.sid,), "not there yet")
    assert await said(client) == "not there yet"
    three[1].hub.moves.give_up(client.sid)
    await three[1].cluster.flush_local()
    assert len(bus.groups[server_group(three[0].hub.server_id)]) == 1
    assert is_forgotten(three[1], client.sid)
    await reach(list(three), client, [])


def is_forgotten(server: Server, sid: str) -> bool:
    return sid not in server.hub.moves._stays and not server.hub.moves._homes


# What is on its way meanwhile


async def test_what_only_the_old_server_has_got_is_sent_on(three: Three, bus: Bus) -> None:
    client = await three[0].client()
    sid, outside, target = client.sid, Outside(bus), Target("/", (client.sid,))
    client = await move(client, three[0], three[1])
    group, channel = server_group(three[0].hub.server_id), three[1].cluster.beats.channel
    bus.groups[group].discard(channel)  # as who has read the members a moment ago sees it
    await outside.send(target, "late")
    bus.groups[group].add(channel)
    assert await said(client) == "late"
    await outside.send(target, "to both")
    await three[0].cluster.flush_cluster()
    three[2].emit((sid,), "last")
    assert [await said(client) for _ in range(2)] == ["to both", "last"]
    assert client.pending() == 0


async def test_a_command_that_only_the_old_server_has_got_is_sent_on(
    three: Three, bus: Bus
) -> None:
    client = await three[0].client()
    sid, target = client.sid, Target("/", (client.sid,))
    client = await move(client, three[0], three[1])
    group = server_group(three[0].hub.server_id)
    body = encode(as_command(target, "join", ("a",), "-outer.1"))
    three[0].cluster._receiver.handle(pack("-outer", group, 0, 0, [body]))
    await until(lambda: three[1].hub.registry.sockets[sid].rooms == {"a"})


async def test_what_only_the_old_server_has_got_for_a_room_is_sent_on_once(
    three: Three, bus: Bus
) -> None:
    client, other = await three[0].client("a"), await three[1].client("a")
    sid = client.sid
    client = await move(client, three[0], three[1], "a")
    emit = as_emit(Target("/", ("a",)), Message("/", "said", ("room",)), "some id")
    three[0].hub.moves.forward(sid, emit, "origin")
    three[0].hub.moves.forward(sid, emit, "origin")
    assert await said(client) == "room"
    three[2].cluster.send(Target("/", ("a",)), emit)
    assert await said(other) == "room"
    three[2].emit(("a",), "last")
    assert [await said(client), await said(other)] == ["last", "last"]
    three[0].hub.moves.forward(sid, emit, "origin")
    await three[0].cluster.flush_cluster()
    assert client.pending() == other.pending() == 0


async def test_a_forward_follows_who_moves_again(three: Three) -> None:
    client = await three[0].client()
    sid = client.sid
    client = await move(client, three[0], three[1])
    client = await move(client, three[1], three[2])
    await known_at(three[0], sid, three[2])
    emit = as_emit(Target("/", (sid,)), Message("/", "said", ("far",)), "some id")
    three[0].cluster.tell(three[1].hub.server_id, Forward(sid, emit, "origin"))
    assert await said(client) == "far"


async def test_a_late_forward_of_what_was_had_before_moving_again_ends(
    three: Three, bus: Bus
) -> None:
    """As its home sends it on that has not heard yet that the client has moved again."""
    client = await three[0].client()
    sid, outside, target = client.sid, Outside(bus), Target("/", (client.sid,))
    client = await move(client, three[0], three[1])
    await outside.send(target, "from outside")
    assert await said(client) == "from outside"
    three[1].emit((sid,), "from there")
    assert await said(client) == "from there"
    client = await move(client, three[1], three[2])
    late = Target("/", (sid,))
    for text, id, origin in (
        ("from outside", "-outer.1", "-outer"),
        ("from there", "some id", three[1].hub.server_id),
        ("from elsewhere", "other id", "origin"),
    ):
        emit = as_emit(late, Message("/", "said", (text,)), id)
        three[0].cluster.tell(three[1].hub.server_id, Forward(sid, emit, origin))
    assert await said(client) == "from elsewhere"
    assert client.pending() == 0


async def test_a_late_forward_of_what_was_had_elsewhere_between_two_stays_ends(
    three: Three, bus: Bus
) -> None:
    """As one sends it on, more slowly than the client moves, who had the client before both."""
    client = await three[0].client()
    sid, outside, target = client.sid, Outside(bus), Target("/", (client.sid,))
    client = await move(client, three[0], three[1])
    client = await move(client, three[1], three[2])
    await outside.send(target, "from outside")
    assert await said(client) == "from outside"
    await three[1].cluster.flush_cluster()  # which has heard it too
    client = await move(client, three[2], three[1])
    emit = as_emit(target, Message("/", "said", ("from outside",)), "-outer.1")
    three[0].cluster.tell(three[1].hub.server_id, Forward(sid, emit, "-outer", 1))
    three[0].emit((sid,), "last")
    assert await said(client) == "last"
    assert client.pending() == 0


async def test_what_is_sent_on_to_where_a_client_was_between_two_stays_reaches_it(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await three[0].client()
    sid, outside, target = client.sid, Outside(bus), Target("/", (client.sid,))
    client = await move(client, three[0], three[1])
    client = await move(client, three[1], three[2])
    await known_at(three[0], sid, three[2])
    group, channel = server_group(three[0].hub.server_id), three[2].cluster.beats.channel
    sent_on: list[Any] = []
    for server in three[:2]:
        told = noting(sent_on, lambda *args: None)
        monkeypatch.setattr(server.cluster, "tell", told)
    bus.groups[group].discard(channel)  # as who has read the members long ago sees it
    await outside.send(target, "late")
    await until(lambda: len(sent_on) == 2)
    bus.groups[group].add(channel)
    monkeypatch.undo()
    client = await move(client, three[2], three[1])
    for server, forward in sent_on:
        three[0].cluster.tell(server, forward)
    assert await said(client) == "late"
    three[0].emit((sid,), "last")
    assert await said(client) == "last"
    assert client.pending() == 0


async def test_who_was_excluded_gets_nothing_sent_on(three: Three) -> None:
    client = await three[0].client("a")
    sid = client.sid
    client = await move(client, three[0], three[1], "a")
    for excluded, text in (("a", "not for it"), ("b", "for it")):
        target = Target("/", (sid,), (excluded,))
        emit = as_emit(target, Message("/", "said", (text,)), text)
        three[0].hub.moves.forward(sid, emit, "origin")
    assert await said(client) == "for it"
    assert client.pending() == 0


async def test_a_forward_for_somebody_who_is_nowhere_ends(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await three[0].client()
    sid = client.sid
    client = await move(client, three[0], three[1])
    client = await move(client, three[1], three[2])
    await known_at(three[0], sid, three[2])
    three[0].hub.moves.note(sid, three[1].hub.server_id)
    three[1].hub.moves.note(sid, three[0].hub.server_id)
    assert three[1].hub.moves.where(sid) == three[2].hub.server_id, "it is not one of its own"
    three[1].hub.moves._away[sid] = (
        three[1].hub.moves._away[sid]._replace(server=three[0].hub.server_id)
    )
    told: list[Any] = []
    for server in three[:2]:
        monkeypatch.setattr(server.cluster, "tell", noting(told, server.cluster.tell))
    emit = as_emit(Target("/", (sid,)), Message("/", "said", ("round",)), "some id")
    three[0].hub.moves.forward(sid, emit, "origin")
    await until(lambda: len(told) == moves.MAX_HOPS)
    await three[0].cluster.flush_cluster()
    await three[1].cluster.flush_cluster()
    assert len(told) == moves.MAX_HOPS


def noting(told: list[Any], tell: Any) -> Any:
    """Return `tell`, which notes each call."""

    def note(*args: Any) -> None:
        told.append(args)
        tell(*args)

    return note


async def test_what_was_sent_to_its_server_alone_is_sent_on(three: Three) -> None:
    """As a hub does that has not answered in time when clients of that server began to move."""
    client = await move(await three[0].client(), three[0], three[1])
    peer = three[2].cluster.peers._peers[three[0].hub.server_id]
    peer.scattered = False
    three[2].emit((client.sid,), "straight")
    assert await said(client) == "straight"
    peer.scattered = True
    three[2].emit((client.sid,), "last")
    assert await said(client) == "last"
    assert client.pending() == 0


async def test_nothing_is_lost_doubled_or_reordered_on_the_way(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What both servers have got is told apart by its id, as who takes over a session does."""
    client = await three[0].client()
    sid, target = client.sid, Target("/", (client.sid,))
    got: list[list[str]] = [[], [], []]
    for number, server in enumerate(three):
        monkeypatch.setattr(server.hub, "deliver", recorder(got[number]))
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            sent += 1
            emit = as_emit(target, Message("/", "said", (sent,)), str(sent))
            three[2].cluster.send(target, emit)

    async def keep_sending() -> None:
        while True:
            send(3)
            await asyncio.sleep(0)

    sending = asyncio.create_task(keep_sending())
    before: list[str] = []
    order = [0, 1, 0, 1, 0]
    for source, to in pairwise(order):
        await until(lambda source=source: len(got[source]) > 20)
        got[to].clear()
        await expect(three[to], sid)
        await three[source].hub.moves.scatter()
        # All that the source has got until now goes along with the client.
        before = [*before, *[id for id in got[source] if id not in set(before)]]
        three[source].hub.moves.note(sid, three[to].hub.server_id)
        three[to].hub.moves.adopt(sid)
    sending.cancel()
    send(1)
    await until(lambda: str(sent) in got[order[-1]])
    after = [id for id in got[order[-1]] if id not in set(before)]
    assert [*before, *after] == [str(number) for number in range(1, sent + 1)]


def recorder(got: list[str]) -> Any:
    def record(target: Target, message: Message, id: str = "", number: int = 0) -> None:
        got.append(id)

    return record


# Who says so


async def test_only_who_has_a_client_says_that_it_is_gone(three: Three) -> None:
    client = await move(await three[0].client(), three[0], three[1])
    await known_at(three[0], client.sid, three[1])
    three[2].hub.moves._tell_home(client.sid, here=False)
    await three[2].cluster.flush_cluster()
    assert three[0].hub.moves.where(client.sid) == three[1].hub.server_id


async def test_nobody_takes_a_client_that_is_here(three: Three) -> None:
    client = await three[0].client()
    three[2].hub.moves._tell_home(client.sid, here=True)
    await three[2].cluster.flush_cluster()
    assert three[0].hub.moves.where(client.sid) is None
    await reach(list(three), client, [])


async def test_clients_that_died_with_their_server_are_forgotten(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves, "MANY", 3)
    three[0].hub.moves._limit = 3
    for number in range(3):
        three[0].hub.moves.note(f"{three[0].hub.server_id}{number:020}", "server")
    client = await move(await three[0].client(), three[0], three[1])
    assert set(three[0].hub.moves._away) == {client.sid}


# Lanes


async def test_hubs_send_straight_to_a_server_that_has_all_its_clients(
    start: Start, bus: Bus, settings: Settings
) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": None}
    three = [await start() for _ in range(3)]
    client = await three[0].client()
    lanes = three[2].cluster.router.lanes
    [lane] = lanes(Target("/", (client.sid,)))
    assert lane.direct
    client = await move(client, three[0], three[1])
    [lane] = lanes(Target("/", (client.sid,)))
    assert (lane.name, lane.direct) == (server_group(three[0].hub.server_id), False)
    late = await start()
    assert late.cluster.router.lanes(Target("/", (client.sid,))) == [lane]
    await reach([*three, late], client, [])
    [lane] = three[0].cluster.router.lanes(Target("/", (client.sid,)))
    assert lane.name == server_group(three[0].hub.server_id), "its own, too"


async def test_before_a_client_goes_nothing_is_on_its_way_to_its_server_alone(
    start: Start, settings: Settings
) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": None}
    three = [await start() for _ in range(3)]
    client = await three[0].client()
    three[2].layer.hang("send")
    three[2].emit((client.sid,), "slow")
    await until(lambda: three[2].layer.held)
    scattering = [asyncio.create_task(three[0].hub.moves.scatter()) for _ in range(3)]
    await until(lambda: three[2].cluster.peers._peers[three[0].hub.server_id].scattered)
    assert not any(task.done() for task in scattering)
    three[2].layer.resume()
    await asyncio.gather(*scattering)
    assert client.pending() == 1
    assert three[0].hub.describe()["scattered"]
