"""All sockets of a user, disconnected from the user's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.test import AsyncClient

from realtime.admin import forms
from realtime.testing import Client

from ...conftest import Connect
from ...probes import DEADLINE
from .conftest import URL, LogIn, logged, said


def url_of(user: Any, model: str = "auth.user") -> str:
    return f"{URL}socket/of-user/{user.pk}/as/{model}/disconnect/"


async def are_there(clients: list[Client]) -> None:
    """Let all of them prove that they are connected."""
    for client in clients:
        assert await client.call("echo", 1) == 1


async def are_gone(clients: list[Client]) -> None:
    """Wait until all of them are disconnected."""
    for client in clients:
        await client.closed(DEADLINE)


@pytest.fixture
async def ann() -> Any:
    """A user."""
    return await get_user_model().objects.acreate(username="ann")


@pytest.fixture
async def hers(ann: Any, connect: Connect) -> list[Client]:
    """Her clients, in three namespaces."""
    return [await connect(namespace, user=ann) for namespace in ("/", "/", "/users", "/orders/7")]


async def test_it_asks_and_then_disconnects_all(
    browser: AsyncClient, ann: Any, hers: list[Client], connect: Connect
) -> None:
    bob = await get_user_model().objects.acreate(username="bob")
    others = [await connect(user=bob), await connect("/users")]
    text = (await browser.get(url_of(ann))).content.decode()
    assert "This concerns <strong>4</strong> sockets:" in text
    assert f'<a href="/admin/auth/user/{ann.pk}/change/">ann</a>' in text
    assert '<a href="/admin/auth/user/">Users</a>' in text
    assert await logged() == []
    await are_there([*hers, *others])
    response: Any = await browser.post(url_of(ann), {"do": "1"}, follow=True)
    assert response.redirect_chain == [(f"/admin/auth/user/{ann.pk}/change/", 302)]
    assert said(response) == [("success", "4 sockets were disconnected.")]
    assert "Not connected. Last seen" in response.content.decode()
    await are_gone(hers)
    await are_there(others)
    assert await logged() == [("ann", "Disconnected.")]
    entry = await LogEntry.objects.select_related("user", "content_type").aget()
    assert (entry.user.get_username(), entry.content_type.model) == ("root", "user")
    assert entry.object_id == str(ann.pk)
    history = await browser.get(f"/admin/auth/user/{ann.pk}/history/")
    assert "Disconnected." in history.content.decode()


async def test_very_many_have_to_be_confirmed(
    browser: AsyncClient, ann: Any, hers: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MANY_SOCKETS", 3)
    response = await browser.post(url_of(ann), {"do": "1"})
    assert "Say that so many are meant." in response.content.decode()
    await are_there(hers)
    await browser.post(url_of(ann), {"do": "1", "do-confirm": "on"})
    await are_gone(hers)


async def test_who_is_not_connected(browser: AsyncClient, ann: Any) -> None:
    response: Any = await browser.get(url_of(ann), follow=True)
    assert response.redirect_chain == [(f"/admin/auth/user/{ann.pk}/change/", 302)]
    assert said(response) == [("warning", "Not connected.")]
    response = await browser.post(url_of(ann), {"do": "1"}, follow=True)
    assert said(response) == [("warning", "0 sockets were disconnected.")]


@pytest.mark.parametrize(
    ("codenames", "status"),
    [
        (("view_socket", "disconnect_socket", "view_user"), 302),
        (("view_socket", "disconnect_socket", "change_user"), 302),
        (("view_socket", "disconnect_socket"), 403),
        (("view_socket", "view_user", "change_user"), 403),
        (("disconnect_socket", "view_user", "change_user"), 403),
    ],
)
async def test_what_it_takes(
    log_in: LogIn, ann: Any, hers: list[Client], codenames: tuple[str, ...], status: int
) -> None:
    browser = await log_in(*codenames)
    assert (await browser.get(url_of(ann))).status_code == (200 if status == 302 else status)
    assert (await browser.post(url_of(ann), {"do": "1"})).status_code == status
    await (are_gone if status == 302 else are_there)(hers)


async def test_nobody_and_what_is_no_user(browser: AsyncClient, ann: Any) -> None:
    for url in (
        url_of(ann, "auth.group"),
        url_of(ann, "nothing"),
        url_of(get_user_model()(pk=4711)),
        url_of(get_user_model()(pk="x")),
    ):
        assert (await browser.post(url, {"do": "1"})).status_code == 404


async def test_a_user_whom_the_sites_admin_hides(
    browser: AsyncClient, ann: Any, hers: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UserAdmin, "get_queryset", lambda *args: get_user_model().objects.none())
    assert (await browser.post(url_of(ann), {"do": "1"})).status_code == 404
    await are_there(hers)


async def test_the_csrf_token_is_needed(ann: Any, hers: list[Client]) -> None:
    root = await get_user_model().objects.acreate(username="root", is_staff=True, is_superuser=True)
    browser = AsyncClient(enforce_csrf_checks=True)
    await browser.aforce_login(root)
    assert (await browser.post(url_of(ann), {"do": "1"})).status_code == 403
    await are_there(hers)
