"""Sessions at an heir: who waits for them, for how long they are kept, and who ends them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from realtime.cluster.envelopes import LOG_OUT
from realtime.cluster.targets import EVERYONE
from realtime.recovery import announced, transfers
from realtime.recovery.forms import Packer, Parcel, encode_parcel, open_session
from realtime.recovery.identities import identify
from realtime.recovery.recovery import Recovery
from realtime.recovery.session import Session
from realtime.recovery.transfers import COMING, SESSIONS
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, until
from .moving import said

Three = tuple[Server, Server, Server]

ADA = User(pk=1, username="ada", password="a")


@pytest.fixture(autouse=True)
def _recovery(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REALTIME = {
        **settings.REALTIME,
        "RECOVERY": {"SECONDS": 600, "PRESENCE_SECONDS": 300},
    }
    # Who waits for nothing waits for too long.
    monkeypatch.setattr(transfers, "SETTLE_TIME", 10 * DEADLINE)


def of(server: Server) -> Recovery:
    """Return what lets clients come back to a hub."""
    assert server.hub.recovery is not None
    return server.hub.recovery


def session_of(server: Server, client: Client) -> Session:
    """Return what a client that is away comes back to."""
    session = of(server).sessions.of_sid(client.sid)
    assert session is not None
    return session


async def announce(giver: Server, heir: Server) -> list[Session]:
    """Let a hub announce all of its sessions to its heir; return them."""
    sessions = list(of(giver).sessions)
    parcel = of(giver).transfers._announce(sessions)
    assert await giver.hub.hand_over(heir.hub.server_id, COMING, encode_parcel(parcel))
    return sessions


async def hand(giver: Server, heir: Server, parcel: Parcel) -> None:
    """Let a hub hand over what it has packed."""
    assert await giver.hub.hand_over(heir.hub.server_id, SESSIONS, encode_parcel(parcel))


async def inherit(giver: Server, heir: Server) -> None:
    """Let a hub stop, whose sessions another one gets."""
    giver.cluster.choose_heir = lambda excluding=(): heir.hub.server_id  # type: ignore[method-assign]
    await giver.hub.close(grace=0.5)


async def log_out(server: Server, *others: Server) -> None:
    """Let a hub tell all that a user has logged out, and wait until all have heard it."""
    who = identify({"user": ADA})
    assert who is not None
    assert who.user is not None
    assert who.login is not None
    server.hub.command(EVERYONE, LOG_OUT, (who.user, who.login))
    for each in (server, *others):
        await each.cluster.flush_cluster()


async def is_lost(server: Server, client: Client) -> bool:
    """Let a client come back to a hub, and tell whether it is a new one there."""
    await server.take_back(client)
    return not client.recovered


# Who logs out


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_logout_finds_who_is_away(three: Three, place: int) -> None:
    """At home, at another hub, and at the heir of one that has stopped."""
    client = await three[0].client("a", user=ADA)
    other = await three[0].client("a")
    for each in (client, other):
        each.drop()
        if place == 1:
            await three[1].take_back(each)
            each.drop()
    if place == 2:
        await inherit(three[0], three[2])
    assert three[place].hub.stats()["away"] == 2
    await log_out(three[1])
    assert three[place].hub.stats()["away"] == 1
    assert await is_lost(three[1], client)
    assert not await is_lost(three[1], other)


async def test_a_logout_of_who_is_on_the_way_to_an_heir(three: Three) -> None:
    """It is not kept there, though it was packed before."""
    client = await three[0].client("a", user=ADA)
    other = await three[0].client("a")
    for each in (client, other):
        each.drop()
    sessions = await announce(three[0], three[1])
    parcel = of(three[0]).transfers._pack(sessions)
    await log_out(three[2], three[0], three[1])
    await hand(three[0], three[1], parcel)
    assert [session.sid for session in of(three[1]).sessions] == [other.sid]
    assert three[1].hub.stats()["away"] == 1


@pytest.mark.parametrize("given", [False, True], ids=["before it is given", "behind it"])
async def test_a_logout_of_who_moves(
    three: Three, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    """Whoever is just being let in elsewhere has to come again, and is told."""
    client = await three[0].client("a", user=ADA)
    client.drop()
    take, over = three[1].hub.take, asyncio.Event()

    async def take_and_log_out(server: str, question: Any) -> bytes | None:
        body = await take(server, question) if given or not question.final else None
        if question.final:
            await log_out(three[2], three[0], three[1])
            over.set()
        return body if given or not question.final else await take(server, question)

    monkeypatch.setattr(three[1].hub, "take", take_and_log_out)
    back = asyncio.ensure_future(three[1].take_back(client))
    await over.wait()
    await until(lambda: not three[1].hub.stats()["connections"])
    back.cancel()
    await asyncio.wait([back])
    monkeypatch.undo()
    assert await is_lost(three[1], client)


# What is asked of them on the way


async def test_commands_reach_those_who_are_coming(three: Three) -> None:
    """Those for their rooms too, which they may have joined just before."""
    clients = [await three[0].client(f"a{number}", "all") for number in range(3)]
    for client in clients:
        client.drop()
    sessions = await announce(three[0], three[1])
    three[2].command((clients[0].sid,), "join", "b")
    await three[2].cluster.flush_cluster()
    parcel = of(three[0]).transfers._pack(sessions)
    three[2].command(("a0",), "join", "c")
    three[2].command(("c",), "leave", "all")
    three[2].command(("a1",), "close")
    await three[2].cluster.flush_cluster()
    await hand(three[0], three[1], parcel)
    rooms = {session.sid: session.rooms for session in of(three[1]).sessions}
    assert rooms == {clients[0].sid: {"a0", "b", "c"}, clients[2].sid: {"a2", "all"}}
    assert not of(three[1]).transfers.announced._commands
    of(three[0]).sessions.close()
    three[2].emit(("c",), 1)
    await three[2].cluster.flush_cluster()
    assert not await is_lost(three[1], clients[0])
    assert await said(clients[0]) == 1
    assert await is_lost(three[1], clients[1])


@pytest.mark.parametrize("packed", [False, True], ids=["told", "packed"])
async def test_rooms_joined_behind_an_announcement(
    three: Three, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """The heir hears for them by the time that the session is packed, or by the command."""
    client = await three[0].client("a")
    client._auth = {}
    client.drop()
    hand_over, calls = three[0].hub.hand_over, []

    async def hand_over_late(server: str, kind: str, body: bytes) -> bool:
        """Let it join a room when the heir was told, or when the session is on its way."""
        calls.append(kind)
        done = kind != SESSIONS and await hand_over(server, kind, body)
        if len(calls) == 1 + packed:
            three[2].command((client.sid,), "join", "b")
            await three[2].cluster.flush_cluster()
        if kind == SESSIONS:
            three[2].emit(("b",), 1)
            await three[2].cluster.flush_cluster()
            return await hand_over(server, kind, body)
        return done

    monkeypatch.setattr(three[0].hub, "hand_over", hand_over_late)
    await inherit(three[0], three[1])
    assert calls == [COMING, *[COMING] * (not packed), SESSIONS]
    three[2].emit(("b",), 2)
    await three[2].cluster.flush_cluster()
    assert not await is_lost(three[1], client)
    assert [await said(client) for _ in range(2)] == [1, 2]
    assert not client.pending()
    client.drop()
    of(three[1]).sessions.close()
    assert ("/", "b") not in of(three[1]).holds


async def test_a_join_that_the_heir_hears_of_first(three: Three) -> None:
    """What was not for its client where that was does not come behind what was."""
    client, there = await three[0].client("a"), await three[1].client("b")
    client.drop()
    (session,) = await announce(three[0], three[1])
    three[0].layer.hang("receive")
    three[2].command((client.sid,), "join", "b")
    await until(lambda: of(three[1]).transfers.announced._commands)
    three[0].emit(("b",), "not for it yet")
    assert await said(there) == "not for it yet"
    three[0].layer.resume()
    await until(lambda: "b" in session.rooms)
    three[0].emit(("b",), "for it")
    assert await said(there) == "for it"
    await hand(three[0], three[1], of(three[0]).transfers._pack([session]))
    of(three[0]).sessions.close()
    assert not await is_lost(three[1], client)
    three[0].emit(("b",), "last")
    assert [await said(client) for _ in range(2)] == ["for it", "last"]
    assert not client.pending()


async def test_what_is_asked_before_an_announcement_is_old(three: Three) -> None:
    """Of two batches the second has not heard what was for the first alone."""
    first, second = await three[0].client("a"), await three[0].client("a")
    first.drop()
    sessions = await announce(three[0], three[1])
    three[2].command(("a",), "leave", "a")
    await three[2].cluster.flush_cluster()
    three[2].command((second.sid,), "join", "a")
    await three[2].cluster.flush_cluster()
    second.drop()
    await announce(three[0], three[1])
    sessions = list(of(three[0]).sessions)
    await hand(three[0], three[1], of(three[0]).transfers._pack(sessions))
    rooms = {session.sid: session.rooms for session in of(three[1]).sessions}
    assert rooms == {first.sid: set(), second.sid: {"a"}}
    of(three[0]).sessions.close()


async def test_too_much_is_asked(
    three: Three, monkeypatch: pytest.MonkeyPatch, records: list[Any]
) -> None:
    """They are told of a loss, and nobody waits for them."""
    monkeypatch.setattr(announced, "MAX_COMMANDS", 3)
    client = await three[0].client("a")
    client.drop()
    sessions = await announce(three[0], three[1])
    for number in range(4):
        three[2].command(("a",), "join", str(number))
    await three[2].cluster.flush_cluster()
    await hand(three[0], three[1], of(three[0]).transfers._pack(sessions))
    assert not len(of(three[1]).sessions)
    assert ("/", "a") not in of(three[1]).holds
    assert "sessions-not-kept" in [record.args[0] for record in records]
    of(three[0]).sessions.close()
    assert await is_lost(three[1], client)


async def test_more_than_an_heir_has_room_for(three: Three) -> None:
    """Those that have been away for the longest are told, and the others have what they missed."""
    clients = [await three[0].client("a") for _ in range(10)]
    for client in clients:
        client.drop()
    sessions = of(three[1]).sessions
    sessions._options = sessions._options._replace(away_bytes=30_000)
    three[2].emit(("a",), 1)
    await three[2].cluster.flush_cluster()
    await inherit(three[0], three[1])
    kept = len(sessions)
    assert 0 < kept < 10
    assert sessions.bytes <= 30_000
    lost = [await is_lost(three[1], client) for client in clients]
    assert lost == [True] * (10 - kept) + [False] * kept
    for client in clients[-kept:]:
        assert await said(client) == 1


# Who waits for them


async def test_nobody_waits_for_who_went_elsewhere(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    sessions = await announce(three[0], three[1])
    await three[2].take_back(client)
    client.drop()
    await hand(three[0], three[1], of(three[0]).transfers._pack(sessions))
    three[0].emit(("a",), 1)
    await three[0].cluster.flush_cluster()
    assert not await is_lost(three[1], client)
    assert await said(client) == 1
    assert client.pending() == 0


async def test_nobody_waits_for_who_is_gone(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    sessions = await announce(three[0], three[1])
    of(three[0]).sessions.end(sessions[0])
    waiting = asyncio.ensure_future(three[1].take_back(client))
    await hand(three[0], three[1], of(three[0]).transfers._pack(sessions))
    await waiting
    assert not client.recovered
    assert ("/", "b") not in of(three[1]).holds


@pytest.mark.expiry
async def test_nobody_waits_for_a_hub_that_is_gone(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    await announce(three[0], three[1])
    waiting = asyncio.ensure_future(three[1].take_back(client))
    three[0].kill()
    await waiting
    assert not client.recovered


async def test_who_waits_gets_what_has_come(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    sessions = await announce(three[0], three[1])
    waiting = asyncio.ensure_future(three[1].take_back(client))
    three[2].emit(("a",), 1)
    await three[2].cluster.flush_cluster()
    parcel = of(three[0]).transfers._pack(sessions)
    assert await of(three[0]).transfers._hand_parcel(three[1].hub.server_id, parcel)
    await waiting
    assert client.recovered
    assert await said(client) == 1


async def test_what_is_sent_to_it_alone_behind_the_packing(three: Three) -> None:
    """By others and by its heir itself, which has no other sign of it than the announcement."""
    client = await three[0].client("a")
    client.drop()
    sessions = await announce(three[0], three[1])
    three[2].emit((client.sid,), 1)
    await three[2].cluster.flush_cluster()
    parcel = of(three[0]).transfers._pack(sessions)
    for number, server in enumerate((three[2], three[1]), 2):
        server.emit((client.sid,), number)
        await server.cluster.flush_cluster()
    await hand(three[0], three[1], parcel)
    of(three[0]).sessions.close()
    assert not of(three[1]).transfers.announced.is_coming(client.sid)
    assert not await is_lost(three[1], client)
    assert [await said(client) for _ in range(3)] == [1, 2, 3]
    assert client.pending() == 0


# Hubs that stop together


async def test_hubs_that_stop_together(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    """None keeps what another one hands over that does not know of that yet: the third has all."""
    clients = [await server.client("a") for server in three[:2]]
    for client in clients:
        client.drop()
    last = three[2].hub.server_id
    for server, other in (three[:2], three[1::-1]):
        id = other.hub.server_id
        choose = lambda excluding=(), id=id: last if id in excluding else id  # noqa: E731
        monkeypatch.setattr(server.cluster, "choose_heir", choose)
    await asyncio.gather(*(server.hub.close(grace=0.5) for server in three[:2]))
    three[2].emit(("a",), 1)
    for client in clients:
        assert not await is_lost(three[2], client)
        assert await said(client) == 1


async def test_who_is_left_behind_while_a_hub_hands_over(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rooms change again and again, or it drops meanwhile: it goes in another round."""
    clients = [await three[0].client("a") for _ in range(2)]
    for client in clients:
        client._auth = {}
    clients[0].drop()
    hand_over, calls = three[0].hub.hand_over, 0

    async def hand_over_late(server: str, kind: str, body: bytes) -> bool:
        nonlocal calls
        calls += 1
        done = await hand_over(server, kind, body)
        if calls == 1:
            clients[1].drop()
        if calls <= transfers.ROUNDS + 1:
            three[0].command((clients[0].sid,), "join", f"room {calls}")
        return done

    monkeypatch.setattr(three[0].hub, "hand_over", hand_over_late)
    monkeypatch.setattr(
        three[0].cluster, "choose_heir", lambda excluding=(): three[1].hub.server_id
    )
    await of(three[0]).transfers.hand_over()
    assert not len(of(three[0]).sessions)
    for client in clients:
        assert not await is_lost(three[1], client)


async def test_a_session_of_which_something_is_lost_is_not_handed_over(three: Three) -> None:
    client, other = await three[0].client("a"), await three[0].client("b")
    for each in (client, other):
        each.drop()
    of(three[0]).log.lose(("/", "a"))
    await inherit(three[0], three[1])
    assert await is_lost(three[1], client)
    assert not await is_lost(three[1], other)


# How long they last


async def test_the_time_that_has_passed_has_passed_at_the_heir(three: Three) -> None:
    """A client is not kept longer for being handed from hub to hub."""
    client = await three[0].client("a")
    client.drop()
    loop = three[0].hub.loop
    session = session_of(three[0], client)
    ends = session.until, session.counts_until = loop.time() + 100, loop.time() + 50
    await inherit(three[0], three[1])
    heard = session_of(three[1], client)
    assert heard is not session
    for end, there in zip(ends, (heard.until, heard.counts_until), strict=True):
        # The way takes some of it.
        assert end <= there <= end + DEADLINE
    assert heard.counts


async def test_it_ends_at_the_heir_when_it_would_have_ended(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    session = session_of(three[0], client)
    now = three[0].hub.loop.time()
    session.counts_until = now - 1
    await inherit(three[0], three[1])
    await until(lambda: three[1].hub.stats()["away"] == 0)
    heir = session_of(three[1], client)
    heir.until = now - 1
    await inherit(three[1], three[2])
    await until(lambda: not len(of(three[2]).sessions))
    assert await is_lost(three[2], client)


async def test_clocks_of_hubs_are_their_own(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    session = session_of(three[0], client)
    session.until, session.counts_until = 1_100.0, 1_005.0
    packer = Packer("there", 1_000.0)
    packer.add(session, [])
    (form,) = packer.parcel.sessions
    opened = open_session(packer.parcel, form, 0, 50_000.0)
    assert (opened.until, opened.counts_until) == (50_100.0, 50_005.0)
