"""What is done with sockets of a list, or with one from its page."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.test import AsyncClient
from django.utils.translation import override

from realtime.admin import forms, selection, steering
from realtime.hub.hub import Hub
from tests.unit.probes import DEADLINE

from ...conftest import Connect
from .conftest import (
    NEWS,
    OPERATIONS,
    URL,
    Crowd,
    choose,
    do,
    logged,
    received,
    said,
)


async def test_the_page_of_an_action(browser: AsyncClient, crowd: Crowd) -> None:
    response = await choose(browser, "send_event", crowd["ann"].sid, crowd["bob"].sid)
    text = response.content.decode()
    assert "This concerns <strong>2</strong> sockets:" in text
    for name in ("ann", "bob"):
        assert f'name="_selected_action" value="{crowd[name].sid}"' in text
        assert f"/socket/{quote(crowd[name].sid)}/change/" in text
    assert not any(client.pending() for client in crowd.values())
    assert await logged() == []


async def test_send(browser: AsyncClient, crowd: Crowd, connect: Connect) -> None:
    other = await connect("/users")
    sids = [crowd["ann"].sid, crowd["bob"].sid, other.sid]
    response = await do(browser, "send_event", *sids, **NEWS)
    assert said(response) == [("success", "The event “news” was sent to 3 sockets.")]
    for client in (crowd["ann"], crowd["bob"], other):
        assert await received(client) == [("news", "hi", 1)]
    assert not crowd["cleo"].pending()
    what = 'Sent the event “news” with ["hi", 1].'
    assert sorted(await logged()) == sorted((sid, what) for sid in sids)
    entry = await LogEntry.objects.select_related("user", "content_type").afirst()
    assert entry is not None
    assert (entry.user.get_username(), entry.content_type.model) == ("root", "socket")


async def test_a_form_with_errors_changes_nothing(browser: AsyncClient, crowd: Crowd) -> None:
    sid = crowd["ann"].sid
    response = await do(browser, "send_event", sid, **{"do-event": "news", "do-args": "[1"})
    text = response.content.decode()
    assert "Line 1, column 3" in text
    assert 'value="news"' in text
    assert f'name="_selected_action" value="{sid}"' in text
    assert not crowd["ann"].pending()
    assert await logged() == []


async def test_join_and_leave(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    sids = [crowd["ann"].sid, crowd["dan"].sid]
    response = await do(browser, "join_room", *sids, **{"do-room": "Зал"})
    assert said(response) == [("success", "2 sockets are in the room “Зал” now.")]
    assert await crowd["ann"].call("join") == ["a", "b", "Зал"]

    response = await do(browser, "leave_room", *sids, **{"do-room": "a"})
    assert said(response) == [("success", "1 socket left the room “a”.")]
    assert await crowd["ann"].call("join") == ["b", "Зал"]

    response = await do(browser, "leave_room", *sids, **{"do-room": "nowhere"})
    assert said(response) == [("warning", "0 sockets left the room “nowhere”.")]
    assert {what for _, what in await logged()} == {
        "Joined the room “Зал”.",
        "Left the room “a”.",
        "Left the room “nowhere”.",
    }


async def test_rooms_to_leave_are_offered(browser: AsyncClient, crowd: Crowd) -> None:
    response = await choose(browser, "leave_room", crowd["ann"].sid)
    text = response.content.decode()
    assert '<option value="a">' in text
    assert '<option value="b">' in text


async def test_disconnect(browser: AsyncClient, crowd: Crowd) -> None:
    sids = [crowd["ann"].sid, crowd["bob"].sid]
    response = await choose(browser, "disconnect_socket", *sids)
    assert "Yes, disconnect" in response.content.decode()
    assert not crowd["ann"]._closed.is_set()
    response = await do(browser, "disconnect_socket", *sids)
    assert said(response) == [("success", "2 sockets were disconnected.")]
    await crowd["ann"].closed(DEADLINE)
    await crowd["bob"].closed(DEADLINE)
    assert await crowd["cleo"].call("echo", 1) == 1
    assert sorted(await logged()) == sorted((sid, "Disconnected.") for sid in sids)


async def test_what_is_gone_meanwhile(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    sids = [crowd["ann"].sid, crowd["bob"].sid]
    await crowd["ann"].disconnect()
    await hub.flush_local()
    response = await do(browser, "send_event", *sids, **NEWS)
    assert said(response) == [("success", "The event “news” was sent to 1 socket.")]
    await crowd["bob"].disconnect()
    await hub.flush_local()
    response = await do(browser, "send_event", *sids, **NEWS)
    assert said(response) == [("warning", "What was selected is gone.")]


async def test_all_that_a_filter_finds(
    browser: AsyncClient, crowd: Crowd, connect: Connect
) -> None:
    other = await connect("/users")
    query, across = "?namespace=/", {"select_across": "1"}
    sids = [client.sid for client in crowd.values()]
    response = await choose(browser, "send_event", sids[0], query=query, **across)
    text = response.content.decode()
    assert 'name="select_across" value="1"' in text
    assert text.count('name="_selected_action"') == 1
    response = await do(browser, "send_event", sids[0], query=query, **across, **NEWS)
    assert said(response) == [("success", "The event “news” was sent to 4 sockets.")]
    assert response.redirect_chain == [(f"{URL}socket/?namespace=/", 302)]
    for client in crowd.values():
        assert await received(client) == [("news", "hi", 1)]
    assert not other.pending()
    assert len(await logged()) == 4


async def test_many_have_to_be_meant(
    browser: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MANY_SOCKETS", 1)
    sids = [crowd["ann"].sid, crowd["bob"].sid]
    response = await do(browser, "disconnect_socket", *sids)
    assert "Say that so many are meant." in response.content.decode()
    assert await logged() == []
    response = await do(browser, "disconnect_socket", *sids, **{"do-confirm": "on"})
    assert said(response) == [("success", "2 sockets were disconnected.")]


async def test_too_many_are_refused(
    browser: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "MAX_ROWS", 1)
    response = await do(browser, "disconnect_socket", crowd["ann"].sid, crowd["bob"].sid)
    assert said(response) == [("error", "These are too many. Filter for at most 1.")]
    assert await crowd["ann"].call("echo", 1) == 1


async def test_ids_are_sent_in_several_messages(
    browser: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "IDS_PER_MESSAGE", 3)
    await do(browser, "send_event", *(client.sid for client in crowd.values()), **NEWS)
    for client in crowd.values():
        assert await received(client) == [("news", "hi", 1)]


async def test_in_russian(browser: AsyncClient, crowd: Crowd) -> None:
    with override("ru"):
        response = await do(browser, "send_event", crowd["ann"].sid, **NEWS)
    assert said(response) == [("success", "Событие «news» отправлено 1 сокету.")]
    assert await logged() == [(crowd["ann"].sid, 'Sent the event “news” with ["hi", 1].')]


# One socket, from its page


async def test_from_the_page_of_a_socket(browser: AsyncClient, crowd: Crowd) -> None:
    sid = crowd["ann"].sid
    page = f"{URL}socket/{quote(sid)}/"
    text = (await browser.get(f"{page}change/")).content.decode()
    for operation in OPERATIONS:
        assert f'href="{page}do/{operation}/"' in text
        assert (await browser.get(f"{page}do/{operation}/")).status_code == 200
    assert not crowd["ann"].pending()

    response = await browser.post(f"{page}do/send_event/", {"do": "1", **NEWS}, follow=True)
    assert response.redirect_chain == [(f"{page}change/", 302)]
    assert said(response) == [("success", "The event “news” was sent to 1 socket.")]
    assert await received(crowd["ann"]) == [("news", "hi", 1)]

    response = await browser.post(f"{page}do/disconnect_socket/", {"do": "1"}, follow=True)
    assert response.redirect_chain == [(f"{URL}socket/", 302)]
    assert said(response) == [("success", "1 socket was disconnected.")]
    history = (await logged())[-2:]
    assert history == [(sid, 'Sent the event “news” with ["hi", 1].'), (sid, "Disconnected.")]

    response = await browser.get(f"{page}do/send_event/", follow=True)
    assert said(response) == [("warning", "What was selected is gone.")]
    assert (await browser.get(f"{page}do/nonsense/")).status_code == 404
