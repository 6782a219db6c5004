"""Staff who do things in the admin, and what is looked at then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import AsyncClient

from realtime.cluster.envelopes import group_name
from realtime.testing import Client

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
