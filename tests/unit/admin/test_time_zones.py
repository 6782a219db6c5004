"""Ages in the lists, whatever zones the settings and the database have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone
from django.utils.html import strip_tags
from pytest_django import Settings

from realtime import NamespaceConsumer
from realtime.models import Membership, Server, Socket

from ..conftest import Connect, Serve
from ..presence.conftest import ask
from .conftest import make_server, make_socket

ZONES = [
    (True, "UTC"),
    (True, "Asia/Kolkata"),
    (False, "UTC"),
    (False, "Asia/Kolkata"),
    (False, "America/New_York"),
]

SHORT = timedelta(seconds=20)


@pytest.fixture(params=ZONES, autouse=True)
def _zone(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.USE_TZ, settings.TIME_ZONE = request.param


class Consumer(NamespaceConsumer):
    """Puts its client into a room."""

    async def connect(self, auth: Any) -> None:
        self.join("a")


def moments() -> list[datetime]:
    """Return all moments in the database."""
    found = [*Server.objects.values_list("started_at", "seen_at").get()]
    found += [Socket.objects.get().connected_at, Membership.objects.get().joined_at]
    return found


async def test_what_a_server_writes(serve: Serve, connect: Connect, browser: Browser) -> None:
    serve(Consumer)
    await connect()
    assert await ask(Server.objects.living().count) == 1
    for moment in await ask(moments):
        assert abs(timezone.now() - moment) < SHORT
    server = (await ask(lambda: browser.get("/admin/realtime/server/"))).content.decode()
    assert re.findall(r"(\d+)\s(\w+?)s? ago", strip_tags(server)), "last seen"
    for text in re.findall(r'class="field-(?:age|last_seen)[^>]*>(.*?)<', server):
        assert re.match(r"1?\d second", text), text
    sockets = (await ask(lambda: browser.get("/admin/realtime/socket/"))).content.decode()
    assert re.search(r">1?\d seconds? ago</time>", sockets)


def test_ages(browser: Browser) -> None:
    now = timezone.now()
    server = make_server(seen=12, started_at=now - timedelta(days=3, minutes=5))
    make_socket(server, age=90)
    make_server("dead", seen=60)
    text = browser.get("/admin/realtime/server/").content.decode()
    assert text.count("realtime-late") == text.count("realtime-gone") == 1
    assert ">3\xa0days<" in text
    assert re.search(r">1[2-9] seconds ago<", text)
    assert ">1\xa0minute ago<" in text
    text = browser.get("/admin/realtime/socket/").content.decode()
    assert "1\xa0minute ago</time>" in text
    (moment,) = re.findall(r'<time datetime="(.*?)"', text)
    since = datetime.now(UTC) - datetime.fromisoformat(moment)
    assert timedelta(seconds=90) <= since < timedelta(seconds=90) + SHORT
