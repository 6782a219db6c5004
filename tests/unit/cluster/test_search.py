"""A client's session is found, wherever it is, and wherever it goes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from pytest_django import Settings

from realtime.cluster.envelopes import HUBS, Take
from realtime.recovery.forms import decode_parcel
from realtime.testing import Client
from tests.unit.probes import DEADLINE

from .conftest import Server, Start, until
from .moving import said

Three = tuple[Server, Server, Server]


@pytest.fixture(autouse=True)
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 60}}


async def drop_away(home: Server, to: Server) -> Client:
    """Return a client that has left its home for another hub, and has dropped there, too."""
    client = await home.client("a")
    client.drop()
    await to.take_back(client)
    client.drop()
    return client


async def test_a_client_that_comes_to_a_third_hub_while_its_session_is_on_its_way(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was says where it went, and there it is not yet: who is asked waits for it."""
    client = await three[0].client("a")
    client.drop()
    three[2].emit(("a",), 1)
    await three[2].cluster.flush_cluster()
    take, given, go_on = three[1].hub.take, asyncio.Event(), asyncio.Event()

    async def take_late(server: str, question: Take) -> bytes | None:
        body = await take(server, question)
        if question.final:
            given.set()
            await go_on.wait()
        return body

    monkeypatch.setattr(three[1].hub, "take", take_late)
    first = asyncio.ensure_future(three[1].take_back(client))
    await asyncio.wait_for(given.wait(), DEADLINE)
    asked, asked_last = three[2].hub.take, asyncio.Event()

    async def tell_of_the_last(server: str, question: Take) -> bytes | None:
        if server == three[1].hub.server_id:
            asked_last.set()
        return await asked(server, question)

    monkeypatch.setattr(three[2].hub, "take", tell_of_the_last)
    again = Client()
    again._pid, again._offset = client._pid, client._offset
    second = asyncio.ensure_future(three[2].take_back(again))
    await asyncio.wait_for(asked_last.wait(), DEADLINE)
    await three[2].cluster.flush_cluster()  # behind that question
    go_on.set()
    await second
    await asyncio.wait([first])
    assert again.recovered
    assert await said(again) == 1
    await again.disconnect()


async def test_a_session_that_goes_back_while_it_is_looked_for(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was asked first says where it was, and that one where it is again."""
    client = await three[0].client("a")
    again = Client()
    again._pid, again._offset = client._pid, client._offset
    client.drop()
    await three[1].take_back(again)
    assert again.recovered
    take, answers = three[2].hub.take, []

    async def take_late(server: str, question: Take) -> bytes | None:
        answers.append(await take(server, question))
        if len(answers) == 1:
            await three[0].take_back(again)
            again.drop()
        return answers[-1]

    monkeypatch.setattr(three[2].hub, "take", take_late)
    await three[2].take_back(client)
    assert client.recovered
    three[1].emit(("a",), 1)
    assert await said(client) == 1
    await again.disconnect()


async def test_a_session_that_just_comes_without_a_drop(three: Three) -> None:
    """Who is asked for it waits for those that come as their clients move to WebSockets."""
    client = await three[0].client("a")
    client.drop()
    arrivals = three[1].hub.arrivals
    arrival = arrivals.begin("a session")
    question = Take(client._pid, None, None, "/", final=False)
    asked = asyncio.ensure_future(three[2].hub.take(three[1].hub.server_id, question))
    await three[2].cluster.flush_cluster()  # behind that question
    await three[1].take_back(client)
    assert not asked.done()
    arrivals.end(arrival)
    body = await asked
    assert body is not None
    assert [form.pid for form in decode_parcel(body).sessions] == [client._pid]


async def test_a_hub_that_hands_over_to_one_that_was_asked_before(
    three: Three, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await start()
    client = await drop_away(home, three[1])
    await home.hub.close(grace=0.5)
    heir, take = three[0].hub.server_id, three[2].hub.take
    three[1].cluster.choose_heir = lambda excluding=(): heir  # type: ignore[method-assign]

    async def take_late(server: str, question: Take) -> bytes | None:
        body = await take(server, question)
        if server == heir and not three[1].hub.closing:
            assert body is None
            await three[1].hub.close(grace=0.5)
        return body

    monkeypatch.setattr(three[2].hub, "take", take_late)
    await three[2].take_back(client)
    assert three[1].hub.closing
    assert client.recovered


@pytest.mark.parametrize("told", [False, True], ids=["of nobody", "of others alone"])
async def test_a_hub_that_was_not_heard_of_yet(
    three: Three, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has just started, and some have heard of it before the rest."""
    client = await drop_away(three[0], three[1])
    forget(three[2], three[1], monkeypatch)
    three[2].cluster._all_heard_by = 0.0
    if told:
        three[2].cluster.peers.learn(three[1].hub.server_id)
    await three[2].take_back(client)
    assert client.recovered


async def test_a_hub_of_which_nobody_tells_one_that_has_just_started(
    three: Three, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await start()
    client = await drop_away(home, three[1])
    await home.hub.close(grace=0.5)
    await until(lambda: three[2].knows(*three[:2]))
    forget(three[2], three[1], monkeypatch)
    three[2].cluster._all_heard_by = three[2].hub.loop.time() + DEADLINE
    await three[2].take_back(client)
    assert client.recovered


def forget(server: Server, other: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a hub not have heard of another one so far, nor hear of it before it waits for that."""
    peers, id, meet = server.cluster.peers, other.hub.server_id, server.cluster.meet
    del peers._peers[id], peers._known[id]

    async def meet_then(servers: Iterable[str]) -> bool:
        other.layer.resume()
        return await meet(servers)

    monkeypatch.setattr(server.cluster, "meet", meet_then)
    other.layer.hang("group_send", name=HUBS)
