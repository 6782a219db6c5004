"""A client that drops at one hub, and comes back at another."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from pytest_django import Settings

from realtime.cluster.envelopes import Inherit, Take
from realtime.cluster.targets import Target
from realtime.recovery import lingering
from realtime.recovery.forms import encode_parcel
from realtime.recovery.transfers import COMING
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
from .layer import Bus
from .moving import Halting, said, send_from_outside
from .test_hub_faults import lost

Three = tuple[Server, Server, Server]


@pytest.fixture(autouse=True)
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 60}}


async def all_said(client: Client, count: int) -> list[Any]:
    """Return what the next events say."""
    return [await said(client) for _ in range(count)]


async def test_nothing_is_missed_at_another_hub(three: Three) -> None:
    client = await three[0].client("a")
    sid = client.sid
    three[1].emit(("a",), 1)
    assert await said(client) == 1
    client.drop()
    three[0].emit(("a",), 2)
    await three[0].cluster.flush_cluster()
    three[1].emit(("a",), 3)
    await three[1].cluster.flush_cluster()
    three[2].emit((sid,), 4)
    await three[2].cluster.flush_cluster()
    await three[1].take_back(client)
    assert (client.recovered, client.sid) == (True, sid)
    assert await all_said(client, 3) == [2, 3, 4]
    for number, server in enumerate(three, 5):
        server.emit(("a",), number)
        assert await said(client) == number
        server.emit((sid,), number)
        assert await said(client) == number
    assert not client.pending()


async def test_what_is_sent_on_the_way_comes_once_and_in_order(three: Three) -> None:
    client = await three[0].client("a")
    sent = 0

    async def send(server: Server, first: int) -> None:
        for number in range(200):
            server.emit(("a",), (first, number))
            await asyncio.sleep(0.001)

    senders = [asyncio.ensure_future(send(server, at)) for at, server in enumerate(three)]
    for _ in range(4):
        for server in (three[1], three[2], three[0]):
            client.drop()
            await server.take_back(client)
            assert client.recovered
            sent += 1
    await asyncio.gather(*senders)
    got = [tuple(each) for each in await all_said(client, 600)]
    for at in range(3):
        assert [number for first, number in got if first == at] == list(range(200))
    assert not client.pending()


async def test_a_connection_that_nobody_has_noticed_is_taken_over(three: Three) -> None:
    client = await three[0].client("a")
    stale = client._session
    await three[1].take_back(client)
    assert client.recovered
    assert stale is not None
    assert stale.closed.happened
    three[2].emit(("a",), 1)
    assert await said(client) == 1


async def test_a_hub_that_stops_hands_its_clients_over(three: Three, start: Start) -> None:
    client = await three[0].client("a")
    three[1].emit(("a",), 1)
    assert await said(client) == 1
    client.drop()
    three[1].emit(("a",), 2)
    await three[1].cluster.flush_cluster()
    await three[0].hub.close(grace=0.5)
    three[2].emit(("a",), 3)
    await three[2].cluster.flush_cluster()
    for server in (three[1], three[2]):
        await server.take_back(client)
        assert client.recovered
        if server is three[1]:
            assert await all_said(client, 2) == [2, 3]
        client.drop()
        server.emit(("a",), "next")
        await server.cluster.flush_cluster()
    late = await start(three[1:])
    await late.take_back(client)
    assert client.recovered
    assert await all_said(client, 2) == ["next", "next"]
    assert not client.pending()


async def test_all_hubs_one_by_one(three: Three, start: Start) -> None:
    client = await three[0].client("a")
    servers = list(three)
    number = 0
    for _ in range(4):
        old = servers.pop(0)
        await old.hub.close(grace=0.5)
        for server in servers:
            number += 1
            server.emit(("a",), number)
            await server.cluster.flush_cluster()
        servers.append(await start(servers))
        await servers[-1].take_back(client)
        assert client.recovered
        await until(lambda: client.pending() == 2)
        assert await all_said(client, 2) == [number - 1, number]
    assert not client.pending()


@pytest.mark.slow
@pytest.mark.expiry
async def test_who_was_at_a_hub_that_died_is_told(three: Three) -> None:
    client = await three[0].client("a")
    three[0].kill()
    await until(lambda: three[1].knows(three[2]))
    await three[1].take_back(client)
    assert not client.recovered


@pytest.mark.expiry
async def test_a_client_away_from_home_is_found_when_its_home_has_died(three: Three) -> None:
    client = await three[0].client("a")
    client.drop()
    await three[1].take_back(client)
    client.drop()
    three[0].kill()
    three[2].emit(("a",), 1)
    await until(lambda: three[1].knows(three[2]) and three[2].knows(three[1]))
    await three[2].take_back(client)
    assert client.recovered
    assert await said(client) == 1


async def test_commands_on_the_way(three: Three) -> None:
    client = await three[0].client("a")
    client._auth = {}
    client.drop()
    three[1].command((client.sid,), "join", "b")
    three[2].command(("a",), "leave", "a")
    for server in three:
        await server.cluster.flush_cluster()
    await three[2].take_back(client)
    assert client.recovered
    three[1].emit(("b",), 1)
    assert await said(client) == 1
    three[1].emit(("a",), 2)
    three[1].emit(("b",), 3)
    assert await said(client) == 3
    client.drop()
    three[0].command((client.sid,), "close")
    await three[0].cluster.flush_cluster()
    await until(lambda: not three[2].hub.stats()["away"])
    await three[1].take_back(client)
    assert not client.recovered


async def test_a_late_connect_that_takes_over_doubles_nothing(three: Three) -> None:
    client = await three[0].client("a")
    three[1].emit(("a",), "first")
    assert await said(client) == "first"
    client.drop()
    first = client._offset
    for number in range(5):
        three[1].emit(("a",), number)
    await three[1].cluster.flush_cluster()
    await three[1].take_back(client)
    assert await all_said(client, 5) == list(range(5))
    newest, client._offset = client._offset, first
    for server in (three[2], three[1], three[0]):  # as some of before would, which were slow
        await server.take_back(client)
        assert await all_said(client, 5) == list(range(5))
        client._offset = first
    client._offset = newest
    three[1].emit(("a",), 5)
    await three[1].cluster.flush_cluster()
    await three[2].take_back(client)
    assert client.recovered
    assert await said(client) == 5
    assert not client.pending()


async def test_a_drop_while_the_session_is_on_its_way(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await three[0].client("a")
    client.drop()
    three[2].emit(("a",), 1)
    await three[2].cluster.flush_cluster()
    take = three[1].hub.take
    dropped = asyncio.Event()

    async def take_and_drop(server: str, question: Take) -> bytes | None:
        body = await take(server, question)
        if question.final:
            client.drop()
            dropped.set()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_and_drop)
    back = asyncio.ensure_future(three[1].take_back(client))
    await dropped.wait()
    back.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await back
    three[2].emit(("a",), 2)
    await three[2].cluster.flush_cluster()
    for server in (three[2], three[0]):
        await server.take_back(client)
        assert client.recovered
        assert await all_said(client, 2) == [1, 2]
        client.drop()
        three[0].emit(("a",), 1)
        three[0].emit(("a",), 2)
        await three[0].cluster.flush_cluster()


@pytest.mark.parametrize("phase", ["search", "fence", "take"])
async def test_a_client_that_comes_again_while_it_is_just_coming(
    three: Three, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Nobody has noticed that it has dropped meanwhile: it takes its own place."""
    client = await three[0].client("a")
    client.drop()
    three[2].emit(("a",), 1)
    await three[2].cluster.flush_cluster()
    hub, stuck, go_on = three[1].hub, asyncio.Event(), asyncio.Event()
    take, fence = hub.take, three[1].cluster.fence

    async def wait() -> None:
        if not stuck.is_set():
            stuck.set()
            await go_on.wait()

    async def take_late(server: str, question: Take) -> bytes | None:
        body = await take(server, question)
        if question.final is (phase == "take") and phase != "fence":
            await wait()
        return body

    async def fence_late() -> None:
        await fence()
        if phase == "fence":
            await wait()

    monkeypatch.setattr(hub, "take", take_late)
    monkeypatch.setattr(three[1].cluster, "fence", fence_late)
    first = asyncio.ensure_future(three[1].take_back(client))
    await stuck.wait()
    again = Client(auth={"rooms": ["a"]})
    again._pid, again._offset = client._pid, client._offset
    second = asyncio.ensure_future(three[1].take_back(again))
    assert client._session is not None
    await client._session.closed.wait()
    go_on.set()
    await second
    first.cancel()
    await asyncio.wait([first])
    assert (again.recovered, again.sid) == (True, client.sid)
    assert await said(again) == 1
    for server in three:
        server.emit((client.sid,), "still there")
        assert await said(again) == "still there"
    assert not again.pending()
    await again.disconnect()


async def test_a_session_that_went_elsewhere_before_it_came(three: Three) -> None:
    """What its heir has heard since the first announcement, the client has got elsewhere."""
    client = await three[0].client("a")
    client.drop()
    heir = three[1].hub
    giver = three[0].hub.recovery
    assert giver is not None
    announcement = encode_parcel(giver.transfers._announce(list(giver.sessions)))
    assert await three[0].hub.hand_over(heir.server_id, COMING, announcement)
    await three[2].take_back(client)
    three[0].emit(("a",), 1)
    assert await said(client) == 1
    client.drop()
    three[0].emit(("a",), 2)
    await three[0].cluster.flush_cluster()
    three[2].cluster.choose_heir = lambda excluding=(): heir.server_id  # type: ignore[method-assign]
    await three[2].hub.close(grace=0.5)
    await three[1].take_back(client)
    assert client.recovered
    assert await said(client) == 2
    assert not client.pending()


@pytest.mark.parametrize("drops", [False, True], ids=["it comes", "it drops"])
async def test_rooms_of_a_client_that_is_just_coming(
    three: Three, monkeypatch: pytest.MonkeyPatch, drops: bool
) -> None:
    """What it was made to join and leave where it was, before it was expected, counts there."""
    client = await three[0].client("a", "b")
    there = await three[1].client("a", "b", "c")
    client._auth = {}
    client.drop()
    take, asked, given = three[1].hub.take, False, asyncio.Event()

    async def take_late(server: str, question: Take) -> bytes | None:
        nonlocal asked
        if question.final and not asked:
            asked = True
            for rooms, place in ((("a",), "left"), (("c",), 1), (("a", "b"), 2)):
                three[2].emit(rooms, place)
            three[2].emit(("b",), "excluded", without=("c",))
            await three[2].cluster.flush_cluster()
            if drops:
                client.drop()
        body = await take(server, question)
        if question.final:
            given.set()
        elif not asked:
            three[2].emit(("c",), "before")
            three[2].command((client.sid,), "leave", "a")
            three[2].command((client.sid,), "join", "c")
            await three[2].cluster.flush_cluster()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_late)
    back = asyncio.ensure_future(three[1].take_back(client))
    if drops:
        await given.wait()
        back.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await back
        await three[1].take_back(client)
    else:
        await back
    assert client.recovered
    three[2].emit(("c",), 3)
    assert await all_said(client, 3) == [1, 2, 3]
    assert not client.pending()
    await there.disconnect()


async def test_a_join_that_two_hubs_hear_of_one_after_the_other(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not for it where it was does not come behind what was, for its new hub knew more."""
    client = await three[0].client("a")
    there = [await server.client("b") for server in three[:2]]
    client._auth = {}
    client.drop()
    sid, take, asked = client.sid, three[1].hub.take, False
    sessions = three[0].hub.recovery.sessions  # type: ignore[union-attr]

    async def take_late(server: str, question: Take) -> bytes | None:
        nonlocal asked
        if question.final and not asked:
            asked = True
            coming = three[1].hub.registry.sockets[sid]
            three[0].layer.hang("receive")
            three[2].command((sid,), "join", "b")
            await until(lambda: "b" in coming.rooms)
            three[0].emit(("b",), "not for it yet")
            assert await said(there[1]) == "not for it yet"
            three[0].layer.resume()
            await until(lambda: "b" in sessions.of_sid(sid).rooms)  # type: ignore[union-attr]
            three[0].emit(("b",), "for it")
            assert await said(there[1]) == "for it"
        return await take(server, question)

    monkeypatch.setattr(three[1].hub, "take", take_late)
    await three[1].take_back(client)
    assert client.recovered
    three[0].emit(("b",), "last")
    assert await all_said(client, 2) == ["for it", "last"]
    assert not client.pending()


async def test_a_room_of_which_its_new_hub_has_heard_late(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has left it out by then was not for the client, which is gone as its session comes."""
    client = await three[0].client("a")
    there = await three[1].client("b")
    client._auth = {}
    client.drop()
    sid, take, given, finals = client.sid, three[1].hub.take, asyncio.Event(), 0

    async def take_late(server: str, question: Take) -> bytes | None:
        nonlocal finals
        finals += question.final
        if finals == 1:
            three[0].hub.execute(Target("/", (sid,)), "join", ("c",))
            three[2].emit(("a", "b"), "not for it", without=("c",))
            three[2].emit(("c",), "for it")
            assert await said(there) == "not for it"
            await three[2].cluster.flush_cluster()
        elif finals == 2:
            client.drop()
        body = await take(server, question)
        if finals == 2:
            given.set()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_late)
    back = asyncio.ensure_future(three[1].take_back(client))
    await given.wait()
    back.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await back
    await three[1].take_back(client)
    assert client.recovered
    three[2].emit(("c",), "last")
    assert await all_said(client, 2) == ["for it", "last"]
    assert not client.pending()
    await there.disconnect()


@pytest.mark.parametrize(
    "what", ["an event", "a confirmed event", "an event to it alone", "commands"]
)
async def test_a_connect_that_comes_to_nothing(
    three: Three, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """
    Its client is gone when the session comes: what it has got meanwhile, where it was, does not
    come twice; what it was asked to do meanwhile is done, though it was too late there.
    """
    client = await three[0].client("a", "b")
    again = Client()
    again._pid, again._offset = client._pid, client._offset
    client._auth = {}
    client.drop()
    take, over = three[1].hub.take, asyncio.Event()

    async def take_late(server: str, question: Take) -> bytes | None:
        if question.final and "event" in what and "alone" not in what:
            three[2].emit(("a",), 0)
            await three[2].cluster.flush_cluster()
            await three[0].take_back(again)
            assert await said(again) == 0
            if what == "a confirmed event":
                assert again._session is not None
                again._session.ping()
                await again.call("echo", timeout=DEADLINE)
            client.drop()
        body = await take(server, question)
        if question.final:
            if what == "commands":
                client.drop()
                three[2].command((client.sid,), "join", "c")
                three[2].command(("a",), "leave", "b")
                await three[2].cluster.flush_cluster()
            if what == "an event to it alone":
                client.drop()
                three[1].emit((client.sid,), "for it")
            over.set()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_late)
    coming = asyncio.ensure_future(three[1].take_back(client))
    await over.wait()
    coming.cancel()
    await asyncio.wait([coming])
    monkeypatch.undo()
    await three[1].take_back(again)
    assert again.recovered
    if what == "an event to it alone":
        assert await said(again) == "for it"
    rooms = ("c",) if what == "commands" else ("a", "b")
    three[2].emit(("b",), "for b")
    three[2].emit(("c",), "for c")
    three[2].emit(("a",), "for all")
    expected = [f"for {room}" for room in rooms if room != "a"]
    assert await all_said(again, len(expected) + 1) == [*expected, "for all"]
    assert not again.pending()
    assert not three[1].hub.recovery.sessions.is_coming(again.sid)  # type: ignore[union-attr]
    await again.disconnect()


@pytest.mark.parametrize("given", [False, True], ids=["before it is given", "behind it"])
@pytest.mark.parametrize("action", ["join", "leave"])
async def test_since_when_a_client_that_drops_as_it_comes_is_in_a_room(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch, action: str, given: bool
) -> None:
    """Since it was asked for, and not since its session is there: what is sent meanwhile counts."""
    client = await three[0].client("a", *["b"] * (action == "leave"))
    await three[1].client("a", "b")
    client._auth = {}
    client.drop()
    take, finals = three[1].hub.take, 0

    async def move() -> None:
        three[2].command((client.sid,), action, "b")
        await three[2].cluster.flush_cluster()
        if action == "join":
            await send_from_outside(bus, ("a",), "not for it", without=("b",))
        else:
            await send_from_outside(bus, ("b",), "not for it")
        for server in three:  # behind that
            await server.cluster.flush_cluster()

    async def take_and_drop(server: str, question: Take) -> bytes | None:
        nonlocal finals
        finals += question.final
        if finals == 1 and not given:
            await move()
        body = await take(server, question)
        if finals == 2 - given:
            client.drop()
            if given:
                await move()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_and_drop)
    coming = asyncio.ensure_future(three[1].take_back(client))
    await until(lambda: len(three[1].hub.recovery.sessions))  # type: ignore[union-attr]
    coming.cancel()
    await asyncio.wait([coming])
    await three[1].take_back(client)
    assert client.recovered
    three[2].emit(("a",), "for it")
    assert await said(client) == "for it"
    assert not client.pending()


@pytest.mark.parametrize("drops", [False, True], ids=["it comes", "it drops"])
@pytest.mark.parametrize("before", [0, 1], ids=["at home", "elsewhere"])
async def test_what_the_hub_that_has_it_asks_of_a_client_that_is_just_coming(
    three: Three, monkeypatch: pytest.MonkeyPatch, before: int, drops: bool
) -> None:
    """It goes where the client comes to as well, or what others have asked before would last."""
    client = await three[0].client("a")
    client._auth = {}
    client.drop()
    if before:
        await three[before].take_back(client)
        client.drop()
    take, given = three[2].hub.take, asyncio.Event()

    async def take_late(server: str, question: Take) -> bytes | None:
        if question.final:
            three[2].command((client.sid,), "join", "b")
            await three[2].cluster.flush_cluster()
            three[before].command((client.sid,), "leave", "b")
            await three[before].cluster.flush_cluster()
        body = await take(server, question)
        if question.final:
            given.set()
            if drops:
                client.drop()
        return body

    monkeypatch.setattr(three[2].hub, "take", take_late)
    coming = asyncio.ensure_future(three[2].take_back(client))
    await given.wait()
    if drops:
        await until(lambda: len(three[2].hub.recovery.sessions))  # type: ignore[union-attr]
        coming.cancel()
        await asyncio.wait([coming])
        monkeypatch.undo()
        await three[2].take_back(client)
    else:
        await coming
    assert client.recovered
    three[0].emit(("b",), "not for it")
    three[0].emit(("a",), "for it")
    assert await said(client) == "for it"
    assert not client.pending()


async def test_what_is_sent_on_is_for_who_is_in_the_room_still(
    three: Three, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without clients may send to a hub alone that a client has just left, and a room."""
    client = await three[0].client("a", "b")
    client._auth = {}
    client.drop()
    sent_on: list[str] = []
    tell = three[0].cluster.tell

    def tell_and_note(server: str, envelope: Any) -> None:
        tell(server, envelope)
        sent_on.append(server)

    monkeypatch.setattr(three[0].cluster, "tell", tell_and_note)
    monkeypatch.setattr(lingering, "LINGER", 10 * DEADLINE)
    await three[1].take_back(client)
    three[2].command((client.sid,), "leave", "a")
    await three[2].cluster.flush_cluster()
    sent_on.clear()
    for place in (1, 2):
        await send_from_outside(bus, ("a",), "not for it")
        await send_from_outside(bus, ("b",), place)
        await until(lambda: len(sent_on) == 2)
        sent_on.clear()
        await three[0].cluster.flush_cluster()
        assert await said(client) == place
        client.drop()
        await three[1].take_back(client)
        assert not client.pending()
    assert client.recovered


async def test_sessions_that_nobody_takes_are_told(
    three: Three, records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await three[0].client("a")
    client.drop()
    for server in three[1:]:

        async def refuse(question: Inherit) -> bool:
            return False

        monkeypatch.setattr(server.hub.sessions, "inherit", refuse)
    await three[0].hub.close(grace=0.5)
    assert [record.args for record in records if record.args[0] == "sessions-not-handed-over"] == [
        ("sessions-not-handed-over", "sessions=1")
    ]
    await three[1].take_back(client)
    assert not client.recovered


async def hand_all(giver: Server, heir: Server) -> None:
    """Let a hub hand its sessions to an heir, as one that stops."""
    assert giver.hub.recovery is not None
    transfers = giver.hub.recovery.transfers
    sessions = list(giver.hub.recovery.sessions)
    coming = encode_parcel(transfers._announce(sessions))
    assert await giver.hub.hand_over(heir.hub.server_id, COMING, coming)
    assert await transfers._hand_parcel(heir.hub.server_id, transfers._pack(sessions))


@pytest.mark.parametrize("inherited", [False, True], ids=["it was there", "its heir"])
async def test_a_drop_in_the_midst_of_what_a_hub_has_numbered_twice(
    three: Three, inherited: bool
) -> None:
    """A hub has numbered what a client missed before that was there for the second time."""
    first, other, twice = three
    client = Halting(auth={"rooms": ["a"]})
    await (first if inherited else twice).take_back(client)
    client.drop()

    async def send(*numbers: int) -> None:
        for number in numbers:
            other.emit(("a",), number)
            await other.cluster.flush_cluster()

    await send(0)
    if inherited:
        await hand_all(first, twice)
        await send(1, 2, 3, 4, 5)
    else:
        await send(1, 2, 3, 4, 5)
        client.at_most = 0
        await first.take_back(client)
        client.drop()
    client.at_most = 2
    await twice.take_back(client)
    assert client.recovered
    await until(lambda: not client.at_most)
    client.drop()
    await hand_all(twice, other)
    client.at_most = None
    await other.take_back(client)
    assert client.recovered
    other.emit(("a",), 6)
    assert await all_said(client, 7) == list(range(7))
    await client.disconnect()


@pytest.mark.slow
async def test_a_loss_that_is_noticed_after_the_return(three: Three, bus: Bus) -> None:
    """Nothing has come since by which it could be noticed sooner, but a beat."""
    client, there = await three[0].client("a"), await three[0].client("a")
    three[1].emit(("a",), 1)
    for each in (client, there):
        assert await said(each) == 1
    client.drop()
    lost(bus, 2)
    three[1].emit(("a",), 2)
    await three[1].cluster.publisher.drain(0)
    await three[0].take_back(client)
    session = client._session
    assert session is not None
    if client.recovered:  # before the beat
        await session.closed.wait()
        await three[0].take_back(client)
    assert not client.recovered
    three[1].emit(("a",), 3)
    for each in (client, there):
        assert await said(each) == 3
