"""What is done with rooms: with whoever is in them."""

from __future__ import annotations

from django.test import AsyncClient

from tests.unit.probes import DEADLINE

from ...conftest import Connect
from .conftest import (
    NEWS,
    URL,
    Crowd,
    choose,
    do,
    logged,
    received,
    room_key,
    said,
)


async def test_send_to_rooms_reaches_each_once(browser: AsyncClient, crowd: Crowd) -> None:
    keys = [room_key("a"), room_key("b")]
    response = await do(browser, "send_event", *keys, model="room", **NEWS)
    assert said(response) == [("success", "The event “news” was sent to 3 sockets.")]
    for name in ("ann", "bob", "cleo"):
        assert await received(crowd[name]) == [("news", "hi", 1)]
    assert not crowd["dan"].pending()
    what = 'Sent the event “news” with ["hi", 1].'
    assert sorted(await logged()) == [("a", what), ("b", what)]


async def test_members_join_another_room(browser: AsyncClient, crowd: Crowd) -> None:
    response = await do(browser, "join_room", room_key("a"), model="room", **{"do-room": "c"})
    assert said(response) == [("success", "2 sockets are in the room “c” now.")]
    assert await crowd["cleo"].call("join") == ["a", "c"]


async def test_all_leave_a_room(browser: AsyncClient, crowd: Crowd) -> None:
    response = await do(browser, "leave_room", room_key("b"), model="room")
    assert said(response) == [("success", "2 sockets left.")]
    assert await crowd["ann"].call("join") == ["a"]
    assert await crowd["bob"].call("join") == []
    assert await logged() == [("b", "Let all leave.")]


async def test_disconnect_a_room_from_its_page(browser: AsyncClient, crowd: Crowd) -> None:
    page = f"{URL}room/{room_key('b')}/do/disconnect_socket/"
    response = await browser.get(page)
    assert "This concerns <strong>2</strong> sockets:" in response.content.decode()
    response = await browser.post(page, {"do": "1"}, follow=True)
    assert response.redirect_chain == [(f"{URL}room/", 302)]
    assert said(response) == [("success", "2 sockets were disconnected.")]
    await crowd["ann"].closed(DEADLINE)
    await crowd["bob"].closed(DEADLINE)


async def test_a_room_with_a_strange_name(browser: AsyncClient, connect: Connect) -> None:
    name = '<b>"№1"</b> & %s'
    client = await connect(auth={"rooms": [name, ""]})
    response = await choose(browser, "send_event", room_key(name), room_key(""), model="room")
    assert "<b>" not in response.content.decode()
    response = await do(browser, "leave_room", client.sid, **{"do-room": name})
    assert said(response) == [("success", f"1 socket left the room “{name}”.")]
    assert "<b>" not in response.content.decode()
