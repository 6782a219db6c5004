"""Several hubs do together what one does alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from realtime import logs
from realtime.hub.asking import call, send_to_client
from realtime.hub.envelopes import (
    HUBS,
    VERSION,
    Answer,
    AnyEnvelope,
    Ask,
    Beat,
    Call,
    Cancel,
    Envelope,
    Flush,
    encode,
    group_name,
    open_parcel,
    pack,
    unpack,
)
from realtime.hub.incoming import MAX_LOST
from realtime.hub.targets import Target
from realtime.limits import Rate
from realtime.messages import Message
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
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


async def test_a_broadcast_costs_one_layer_message_however_many_clients(three: Three) -> None:
    clients = [await three[1].client("a") for _ in range(50)]
    before = three[0].layer.calls["group_send"]
    three[0].emit(("a",), "hi")
    for client in clients:
        assert await said(client) == "hi"
    beats = three[0].layer.calls["group_send"] - before - 1
    assert beats <= 1  # another beat may have fallen into this time


async def test_what_comes_while_a_publish_is_in_flight_is_gathered(three: Three) -> None:
    client = await three[1].client("a")
    three[0].layer.hang("group_send")
    for number in range(1000):
        three[0].emit(("a",), number)
    before = three[0].layer.calls["group_send"]
    three[0].layer.resume()
    assert [await said(client) for _ in range(1000)] == list(range(1000))
    assert three[0].layer.calls["group_send"] - before <= 6
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
    monkeypatch.setattr("realtime.hub.cluster.SUBSCRIBE_TIMEOUT", 0.2)
    bus.copies = lambda channel, message: int(not message["number"])  # beats alone arrive
    async with asyncio.timeout(DEADLINE):
        await three[0].cluster.flush_cluster()
    assert any(record.msg == "%s %s" and record.args[0] == "layer-slow" for record in records)


# Questions


async def test_call(three: Three) -> None:
    clients = [await server.client("a") for server in three]
    for number, client in enumerate(clients):
        client.answer("question", number, b"\x00")
    stranger = await three[1].client()
    answers = await three[0].call(("a",))
    assert answers == {client.sid: (n, b"\x00") for n, client in enumerate(clients)}
    assert answers.missing == []
    assert stranger.pending() == 0


async def test_call_names_who_is_silent_or_leaves(three: Three) -> None:
    quick, silent = await three[1].client("a"), await three[1].client("a")
    leaving = await three[2].client("a")
    quick.answer("question", "yes")
    asking = asyncio.create_task(three[0].call(("a",), timeout=0.5))
    await leaving.receive(DEADLINE)
    await leaving.disconnect()
    answers = await asking
    assert answers == {quick.sid: "yes"}
    assert sorted(answers.missing) == sorted([silent.sid, leaving.sid])


async def test_call_to_one_that_is_gone_returns_at_once(three: Three) -> None:
    client = await three[1].client()
    await client.disconnect()
    await until(lambda: client.sid not in three[1].hub.registry.sockets)
    async with asyncio.timeout(DEADLINE):
        answers = await three[0].call((client.sid,), timeout=60)
    assert (answers, answers.missing) == ({}, [client.sid])


async def test_call_to_a_room_that_nobody_is_in_returns_at_once(three: Three) -> None:
    async with asyncio.timeout(DEADLINE):
        answers = await three[0].call(("nobody",), timeout=60)
    assert (answers, answers.missing) == ({}, [])


def count_services(three: Three) -> int:
    """Return how many services run, of which those that start a hub end soon."""
    return sum(len(server.hub.services) for server in three)


def watch(bus: Bus) -> list[AnyEnvelope]:
    """Return a list to which all envelopes are added that hubs send from now on."""
    sent: list[AnyEnvelope] = []

    def note(channel: str, message: dict[str, Any]) -> int:
        sent.extend(each for each in unpack(open_parcel(message)) if isinstance(each, Envelope))
        return 1

    bus.copies = note
    return sent


async def test_who_asks_no_more_is_asked_no_more(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever is taken for dead is told nothing any more.
    monkeypatch.setattr("realtime.hub.peers.EXPIRY", DEADLINE)
    there = await three[1].client("a")
    tasks = count_services(three)
    sent = watch(bus)
    asking = asyncio.create_task(three[0].call(("a",), timeout=60))
    await there.receive(DEADLINE)

    def ended() -> bool:
        finals = [each.server for each in sent if isinstance(each, Answer) and each.final]
        return three[1].hub.server_id in finals

    assert not ended()
    asking.cancel()
    await until(ended)
    await until(lambda: count_services(three) <= tasks)


async def last_answers(
    three: Three, bus: Bus, *envelopes: Any, count: int
) -> dict[str, list[Answer]]:
    """Return the answers to what a process asks in one layer message, by the questions' ids."""
    stranger, server = bus.connect(), "-asker"
    channel = await stranger.new_channel()
    bodies = [encode(envelope(channel)) for envelope in envelopes]
    await stranger.group_send(HUBS, pack(server, HUBS, 1, 1, bodies))
    answers: dict[str, list[Answer]] = {}
    async with asyncio.timeout(DEADLINE):
        while sum(answer.final for each in answers.values() for answer in each) < count:
            for answer in unpack(open_parcel(await stranger.receive(channel))):
                assert isinstance(answer, Answer)
                answers.setdefault(answer.id, []).append(answer)
    return answers


@pytest.mark.parametrize("questions", [1, 50])
async def test_a_question_and_its_cancelling_in_one_message(
    three: Three, bus: Bus, questions: int
) -> None:
    clients = [await server.client("a") for server in three]
    ids = [str(number) for number in range(questions)]
    tasks = count_services(three)
    call = Call("/", ("a",), (), '2["question"]', (), 60)
    answers = await last_answers(
        three,
        bus,
        *(lambda channel, id=id: Ask(id, channel, call) for id in ids),
        *(lambda channel, id=id: Cancel(id) for id in ids),
        count=3 * questions,
    )
    assert set(answers) == set(ids)
    servers = {server.hub.server_id for server in three}
    for each in answers.values():
        finals = [answer.server for answer in each if answer.final]
        assert len(finals) == 3
        assert set(finals) == servers
    await until(lambda: count_services(three) <= tasks)
    for client in clients:
        assert all(event == "question" for event, *_ in await pending(client))


async def pending(client: Client) -> list[Any]:
    return [await client.receive(DEADLINE) for _ in range(client.pending())]


async def test_only_who_asks_may_cancel(three: Three, bus: Bus) -> None:
    there = await three[1].client("a")
    sent = watch(bus)
    asking = asyncio.create_task(three[0].call(("a",), timeout=60))
    await there.receive(DEADLINE)
    open_ids = {each.id for each in sent if isinstance(each, Ask)}
    assert open_ids
    stranger = bus.connect()
    bodies = [encode(Cancel(id)) for id in open_ids]
    await stranger.group_send(HUBS, pack("-other", HUBS, 1, 1, bodies))
    await three[0].cluster.flush_cluster()
    assert not asking.done()
    await there.disconnect()
    async with asyncio.timeout(DEADLINE):
        assert (await asking).missing == [there.sid]


async def test_an_answer_that_cannot_be_sent(
    three: Three, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    async def answer(question: Any, tell: Any) -> Any:
        return 2**80

    monkeypatch.setattr(three[1].cluster._receiver._actions, "answer", answer)
    async with asyncio.timeout(DEADLINE):
        assert await three[0].cluster.ask(three[1].hub.server_id, Flush(), 60) is None
    assert "layer-error" in [record.args[0] for record in records]


async def test_a_hub_that_dies_in_a_call(three: Three) -> None:
    there, dead = await three[1].client("a"), await three[2].client("a")
    there.answer("question", "yes")
    asking = asyncio.create_task(three[0].call(("a",), timeout=60))
    await dead.receive(DEADLINE)
    three[2].kill()
    async with asyncio.timeout(DEADLINE):
        answers = await asking
    assert (answers, answers.missing) == ({there.sid: "yes"}, [dead.sid])
    assert three[0].knows(three[1])


async def test_a_hub_that_stops_in_a_call(three: Three) -> None:
    leaving = await three[1].client("a")
    asking = asyncio.create_task(three[0].call(("a",), timeout=60))
    await leaving.receive(DEADLINE)
    await three[1].hub.close(grace=0.5)
    async with asyncio.timeout(DEADLINE):
        answers = await asking
    assert (answers, answers.missing) == ({}, [leaving.sid])
    assert three[0].knows(three[2])


async def test_one_client_of_any_server(three: Three) -> None:
    client = await three[1].client()
    assert await send_to_client(three[0].hub, client.sid, None, "said", ("hi", b"\x00"))
    assert await said(client) == ("hi", b"\x00")
    assert not await send_to_client(three[0].hub, client.sid, "/users", "said", ())
    await client.disconnect()
    await until(lambda: client.sid not in three[1].hub.registry.sockets)
    assert not await send_to_client(three[0].hub, client.sid, None, "said", ())
    assert not await send_to_client(three[0].hub, "nobodyAAAAAAAAAAAAAAAAAAAA", None, "said", ())


async def test_plain_calls_to_one_client_of_any_server(three: Three) -> None:
    client, neighbour = await three[1].client(), await three[1].client()
    remote = Target("", (client.sid,), client=True)
    hub = three[0].hub
    for number in range(0, 30, 3):  # none overtakes another, whatever way it goes
        three[0].emit((), number)
        hub.emit(remote, Message("/", "said", (number + 1, b"\x00")))
        three[0].emit((client.sid,), number + 2)
    for number in range(0, 30, 3):
        assert await said(client) == number
        assert await said(client) == (number + 1, b"\x00")
        assert await said(client) == number + 2
        assert await said(neighbour) == number
    hub.command(remote, "join", ("new",))
    three[0].emit(("new",), "right after the join")
    assert await said(client) == "right after the join"
    client.answer("question", 1, 2)
    answers = await call(hub, remote, Message("/", "question", ()), DEADLINE)
    assert answers == {client.sid: (1, 2)}
    assert neighbour.pending() == 0
    hub.emit(remote._replace(namespace="/users"), Message("/users", "said", ("no",)))
    hub.command(remote._replace(namespace="/users"), "close", ())
    hub.command(remote, "close", ())
    await client.closed()
    assert client.pending() == 1, "the question"
    answers = await call(hub, remote, Message("/", "question", ()), DEADLINE)
    assert (answers, answers.missing) == ({}, [client.sid])


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


# What this version does not understand


@pytest.mark.parametrize(
    "message",
    [
        {"type": "realtime.envelope", "version": VERSION + 1, "news": [1]},
        {"type": "somebody.elses", "text": "hi"},
        {"type": "realtime.envelope", "version": VERSION},
        {
            "type": "realtime.envelope",
            "version": VERSION,
            "server": "newone",
            "lane": "x",
            "number": "x",
            "place": None,
            "bodies": [b""],
        },
        {
            "type": "realtime.envelope",
            "version": VERSION,
            "server": "newone",
            "lane": "x",
            "number": 0,
            "place": 0,
            "bodies": [b"\xc1", b"\x91\xa6beacon", b"\x92\xa4emit\x01"],
        },
    ],
    ids=["newer", "foreign", "empty", "mistyped", "unknown envelopes"],
)
async def test_what_is_not_understood_is_logged_and_ignored(
    three: Three, bus: Bus, records: list[Any], message: dict[str, Any]
) -> None:
    client = await three[1].client("a")
    stranger = bus.connect()
    await stranger.group_send(HUBS, message)
    three[0].emit(("a",), "hi")
    assert await said(client) == "hi"
    words = [record.args[0] for record in records if record.args[0].startswith("layer-")]
    assert set(words) == {"layer-ignored"}


# What somebody says in a server's name who can write to the layer


@pytest.mark.parametrize("number", [10**6, 2**40, 2**53, 2**60, 2**63 - 1])
async def test_a_forged_number_silences_nobody(three: Three, bus: Bus, number: int) -> None:
    near, far = await three[0].client("a"), await three[1].client("a")
    three[0].emit(("a",), "before")
    assert await said(far) == "before"
    group, server = group_name("/", "a"), three[0].hub.server_id
    stranger = bus.connect()
    for place in (1, 2, number):
        await stranger.group_send(group, pack(server, group, number, place, []))
    forged = Beat(server, three[0].cluster.beats.channel, tails={group: (number, number)})
    await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(forged)]))
    for text in range(20):
        three[0].emit(("a",), text)
        await three[0].cluster.flush_cluster()
    assert [await said(far) for _ in range(20)] == list(range(20))
    assert [await said(near) for _ in range(21)] == ["before", *range(20)]
    assert three[1].cluster.lost <= MAX_LOST
    assert three[0].knows(three[1], three[2])


async def test_a_forged_goodbye(three: Three, bus: Bus) -> None:
    client = await three[1].client("a")
    server = three[1].hub.server_id
    goodbye = Beat(server, "", leaving=True)
    stranger = bus.connect()
    await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(goodbye)]))
    await until(lambda: server not in three[0].cluster.peers)
    three[0].emit(("a",), "still here")
    assert await said(client) == "still here"
    await until(lambda: server in three[0].cluster.peers)
    assert await send_to_client(three[0].hub, client.sid, None, "said", ("again",))
    assert await said(client) == "again"


async def test_a_beat_in_another_ones_name(
    three: Three, bus: Bus, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(logs._LINE_RATES, logging.WARNING, Rate(100, 1.0))
    own, peer = three[0].hub.server_id, three[1].hub.server_id
    stranger = bus.connect()
    for server, named in (("nobody", own), ("nobody", peer), (peer, own)):
        for leaving in (False, True):
            beat = Beat(named, "nowhere", leaving=leaving)
            await stranger.group_send(HUBS, pack(server, HUBS, 0, 0, [encode(beat)]))
    await until(lambda: len([r for r in records if r.args[0] == "layer-ignored"]) >= 12)
    assert three[0].knows(three[1], three[2])
    assert three[0].cluster.peers.channel(peer) == three[1].cluster.beats.channel


@pytest.mark.parametrize("name", ["x" * 201, "x" * 1_000_000])
async def test_names_that_nobody_has(three: Three, bus: Bus, records: list[Any], name: str) -> None:
    stranger = bus.connect()
    for server, lane in ((name, "a"), ("server", name)):
        await stranger.group_send(HUBS, pack(server, lane, 1, 1, []))
    await until(lambda: len([r for r in records if r.args[0] == "layer-ignored"]) >= 6)
    assert name not in three[0].cluster._receiver._incoming._known.lanes
