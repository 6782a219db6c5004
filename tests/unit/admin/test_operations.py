"""What staff do with sockets: the permissions, the pages, what happens, what is said and logged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import AsyncClient
from django.utils.translation import override

from realtime.admin import forms, running, selection, steering
from realtime.exceptions import LayerUnavailable
from realtime.hub import Hub
from realtime.hub.envelopes import group_name
from realtime.testing import Client

from ..conftest import Connect

URL = "/admin/realtime/"
OPERATIONS = ["send_event", "join_room", "leave_room", "disconnect_socket"]
NEWS = {"do-event": "news", "do-args": '["hi", 1]'}

Crowd = dict[str, Client]
LogIn = Callable[..., Awaitable[AsyncClient]]


@pytest.fixture
def log_in() -> LogIn:
    """A function that returns a browser of a new staff member with these permissions."""

    async def log_in(*codenames: str, name: str = "staff", **fields: Any) -> AsyncClient:
        user = await get_user_model().objects.acreate(username=name, **{"is_staff": True, **fields})
        async for permission in Permission.objects.filter(codename__in=codenames):
            await user.user_permissions.aadd(permission)
        browser = AsyncClient()
        await browser.aforce_login(user)
        return browser

    return log_in


@pytest.fixture
async def browser(log_in: LogIn) -> AsyncClient:
    """A superuser's browser."""
    return await log_in(name="root", is_superuser=True)


async def choose(
    browser: AsyncClient,
    operation: str,
    *pks: str,
    model: str = "socket",
    query: str = "",
    follow: bool = True,
    **data: Any,
) -> HttpResponse:
    """Return the answer to an action of a list on these rows."""
    fields = {"action": operation, "_selected_action": list(pks), **data}
    response: HttpResponse = await browser.post(f"{URL}{model}/{query}", fields, follow=follow)
    return response


async def do(browser: AsyncClient, operation: str, *pks: str, **data: Any) -> HttpResponse:
    """Return the list after an action was done."""
    return await choose(browser, operation, *pks, do="yes", **data)


def said(response: Any) -> list[tuple[str, str]]:
    """Return the messages on a page, each with its level."""
    return [(message.level_tag, str(message)) for message in response.context["messages"]]


async def logged() -> list[tuple[str, str]]:
    """Return the log: what was done with what."""
    entries = LogEntry.objects.order_by("pk").select_related("content_type")
    return [(entry.object_repr, entry.get_change_message()) async for entry in entries]


async def received(client: Client) -> list[tuple[Any, ...]]:
    """Return the events that a client has got."""
    return [await client.receive() for _ in range(client.pending())]


def room_key(name: str, namespace: str = "/") -> str:
    return group_name(namespace, name)


# Sockets


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
    await crowd["ann"].closed()
    await crowd["bob"].closed()
    assert await crowd["cleo"].call("echo", 1) == 1
    assert sorted(await logged()) == sorted((sid, "Disconnected.") for sid in sids)


async def test_what_is_gone_meanwhile(browser: AsyncClient, crowd: Crowd, hub: Hub) -> None:
    sids = [crowd["ann"].sid, crowd["bob"].sid]
    await crowd["ann"].disconnect()
    await hub.settled()
    response = await do(browser, "send_event", *sids, **NEWS)
    assert said(response) == [("success", "The event “news” was sent to 1 socket.")]
    await crowd["bob"].disconnect()
    await hub.settled()
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


# Rooms


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
    await crowd["ann"].closed()
    await crowd["bob"].closed()


async def test_a_room_with_a_strange_name(browser: AsyncClient, connect: Connect) -> None:
    name = '<b>"№1"</b> & %s'
    client = await connect(auth={"rooms": [name, ""]})
    response = await choose(browser, "send_event", room_key(name), room_key(""), model="room")
    assert "<b>" not in response.content.decode()
    response = await do(browser, "leave_room", client.sid, **{"do-room": name})
    assert said(response) == [("success", f"1 socket left the room “{name}”.")]
    assert "<b>" not in response.content.decode()


# Who may


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("model", ["socket", "room"])
async def test_each_needs_its_own_permission(
    log_in: LogIn, crowd: Crowd, operation: str, model: str
) -> None:
    pk = crowd["ann"].sid if model == "socket" else room_key("a")
    page = f"{URL}{model}/{quote(pk)}/"
    others = [codename for codename in OPERATIONS if codename != operation]
    without = await log_in("view_socket", "view_room", *others, name="without")
    text = (await without.get(f"{URL}{model}/")).content.decode()
    assert f'<option value="{operation}">' not in text
    assert f'<option value="{others[0]}">' in text
    assert f"do/{operation}/" not in (await without.get(f"{page}change/")).content.decode()
    data = {**NEWS, "do-room": "b"}
    response = await do(without, operation, pk, model=model, **data)
    assert said(response) == [("warning", "No action selected.")]
    assert (await without.get(f"{page}do/{operation}/")).status_code == 403
    assert (await without.post(f"{page}do/{operation}/", {"do": "1", **data})).status_code == 403
    assert await logged() == []
    assert not crowd["ann"].pending()
    assert await crowd["ann"].call("join") == ["a", "b"]

    allowed = await log_in(f"view_{model}", operation, name="allowed")
    response = await do(allowed, operation, pk, model=model, **data)
    assert [level for level, _ in said(response)] == ["success"]
    assert len(await logged()) == 1


async def test_a_permission_that_is_lost_between_the_page_and_its_answer(
    log_in: LogIn, crowd: Crowd
) -> None:
    browser = await log_in("view_socket", "disconnect_socket")
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/disconnect_socket/"
    assert (await browser.get(page)).status_code == 200
    user = await get_user_model().objects.aget(username="staff")
    await user.user_permissions.aremove(await Permission.objects.aget(codename="disconnect_socket"))
    assert (await browser.post(page, {"do": "1"})).status_code == 403
    assert await crowd["ann"].call("echo", 1) == 1


async def test_who_may_not_view_may_not_do(log_in: LogIn, crowd: Crowd) -> None:
    browser = await log_in(*OPERATIONS)
    response = await choose(browser, "send_event", crowd["ann"].sid, do="1", **NEWS)
    assert response.status_code == 403
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/send_event/"
    assert (await browser.post(page, {"do": "1", **NEWS})).status_code == 403
    assert not crowd["ann"].pending()


async def test_the_csrf_token_is_needed(crowd: Crowd) -> None:
    user = await get_user_model().objects.acreate(username="root", is_staff=True, is_superuser=True)
    browser = AsyncClient(enforce_csrf_checks=True)
    await browser.aforce_login(user)
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/disconnect_socket/"
    assert (await browser.post(page, {"do": "1"})).status_code == 403
    response = await choose(browser, "disconnect_socket", crowd["ann"].sid, do="1")
    assert response.status_code == 403
    assert await crowd["ann"].call("echo", 1) == 1


# What goes wrong


async def test_a_layer_that_fails(
    browser: AsyncClient, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, part: Any, data: Any) -> Any:
        raise LayerUnavailable("The channel layer did not take the message.")

    monkeypatch.setattr("realtime.admin.operations.Send.act", fail)
    response = await do(browser, "send_event", crowd["ann"].sid, **NEWS)
    reason = "Nothing was done. The channel layer did not take the message."
    assert said(response) == [("error", reason)]
    assert await logged() == []


async def test_servers_that_do_not_confirm(
    browser: AsyncClient, crowd: Crowd, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await hub.loop.create_future()

    monkeypatch.setattr(running, "CONFIRM_TIME", 0.01)
    monkeypatch.setattr(hub, "settled_everywhere", never)
    response = await do(browser, "leave_room", crowd["ann"].sid, **{"do-room": "a"})
    ((level, text),) = said(response)
    assert level == "warning"
    assert text.endswith("Not all servers have confirmed it yet.")
    assert len(await logged()) == 1


async def test_in_russian(browser: AsyncClient, crowd: Crowd) -> None:
    with override("ru"):
        response = await do(browser, "send_event", crowd["ann"].sid, **NEWS)
    assert said(response) == [("success", "Событие «news» отправлено 1 сокету.")]
    assert await logged() == [(crowd["ann"].sid, 'Sent the event “news” with ["hi", 1].')]
