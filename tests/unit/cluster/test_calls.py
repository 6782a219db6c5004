"""Calls and other questions between hubs, in one process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.cluster.envelopes import (
    HUBS,
    Answer,
    AnyEnvelope,
    Ask,
    Call,
    Cancel,
    Envelope,
    Flush,
    encode,
    open_parcel,
    pack,
    unpack,
)
from realtime.cluster.targets import Target
from realtime.hub.asking import call, send_to_client
from realtime.sockets.messages import Message
from realtime.testing import Client
from realtime.transports.relay import find_server
from tests.unit.cluster.test_hubs import Three, said
from tests.unit.probes import DEADLINE

from .conftest import until
from .layer import Bus


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
    monkeypatch.setattr("realtime.cluster.peers.EXPIRY", DEADLINE)
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


@pytest.mark.expiry
async def test_a_hub_that_dies_in_a_call(three: Three) -> None:
    there, dead = await three[1].client("a"), await three[2].client("a")
    there.answer("question", "yes")
    asking = asyncio.create_task(three[0].call(("a",), timeout=60))
    await dead.receive(DEADLINE)
    await three[2].cluster.publisher.drain(0)  # it has told whom it asks
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


async def test_a_server_of_which_others_alone_have_told(three: Three) -> None:
    """It has started just now, and its beat is on its way: neither is its client gone, nor it."""
    client = await three[1].client()
    peers, server = three[0].cluster.peers, three[1].hub.server_id
    three[1].layer.hang("group_send", name=HUBS)
    del peers._peers[server], peers._known[server]
    peers.learn(server)
    asking = asyncio.create_task(send_to_client(three[0].hub, client.sid, None, "said", ("hi",)))
    polling = asyncio.create_task(find_server(three[0].hub, client.sid))
    await three[2].cluster.flush_cluster()
    three[1].layer.resume()
    assert await polling == server
    assert await asking
    assert await said(client) == "hi"


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
    await client.closed(DEADLINE)
    assert client.pending() == 1, "the question"
    answers = await call(hub, remote, Message("/", "question", ()), DEADLINE)
    assert (answers, answers.missing) == ({}, [client.sid])
