"""Clients that are away, in the lists, on the pages and on the live page."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from realtime.admin.activity_feed import ActivityFeed
from realtime.cluster.envelopes import group_name
from realtime.cluster.reports import check_report
from realtime.hub.hub import Hub
from realtime.models import Socket
from realtime.sockets.socket import Socket as LiveSocket

from ..conftest import Connect
from ..presence.wandering import Away, Wanderer, facts
from .conftest import make_server, make_socket
from .test_lists import URL, page, rows


@pytest.fixture(autouse=True)
def _recovery(settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": {"SECONDS": 120}}


def make_away(*args: Any, seconds: float = 5, **fields: Any) -> Socket:
    """Return a socket whose client is away for so long."""
    since = timezone.now() - timedelta(seconds=seconds)
    return make_socket(*args, away_since=since, **fields)


def cell(text: str, name: str) -> str:
    """Return the first cell of a column in a list's page."""
    _, _, rest = text.partition(f'class="field-{name}')
    return rest.partition("</td>")[0]


def field(text: str, name: str) -> str:
    """Return a field on the page of a row."""
    _, _, rest = text.partition(f"field-{name}")
    return rest.partition('<div class="form-row')[0]


# Sockets


def test_they_are_in_the_list_with_the_others(browser: Client) -> None:
    server = make_server()
    away, present = make_away(server, "a", transport="polling"), make_socket(server, "a", age=9)
    assert rows(browser, "socket") == [away, present]
    assert rows(browser, "socket", room="a") == [away, present]
    text = cell(browser.get(f"{URL}socket/").content.decode(), "transport_shown")
    assert "HTTP long-polling" in text
    assert re.search(r"away for \d+ seconds", text)
    assert away.away_since is not None
    assert f'datetime="{away.away_since.isoformat()}"' in text


def test_who_is_not_away_looks_as_ever(browser: Client) -> None:
    socket = make_socket(make_server())
    assert cell(browser.get(f"{URL}socket/").content.decode(), "transport_shown").endswith(
        ">WebSocket"
    )
    assert "away" not in field(page(browser, "socket", socket.sid), "transport_shown")


def test_the_page_of_one_that_is_away(browser: Client) -> None:
    socket = make_away(make_server(), seconds=130)
    text = field(page(browser, "socket", socket.sid), "transport_shown")
    assert "WebSocket" in text
    assert "away for 2\xa0minutes" in text


def test_the_filter(browser: Client) -> None:
    server = make_server()
    away, present = make_away(server, "a"), make_socket(server, "a", age=9)
    for query, found in (
        ({"away": "1"}, [away]),
        ({"away": "0"}, [present]),
        ({"away": "nonsense"}, [away, present]),
        ({"away": "1", "room": "a"}, [away]),
        ({"away": "1", "server": server.pk}, [away]),
        ({"away": "1", "transport__exact": "polling"}, []),
    ):
        assert rows(browser, "socket", **query) == found, query
    assert "By presence" in browser.get(f"{URL}socket/").content.decode()


def test_the_list_can_be_put_in_order_by_transport(browser: Client) -> None:
    server = make_server()
    one, two = make_away(server, transport="websocket"), make_socket(server, transport="polling")
    assert rows(browser, "socket", o="6") == [two, one]


# Rooms and servers


def test_rooms_and_servers_count_them(browser: Client) -> None:
    server, dead = make_server(), make_server(seen=100)
    for _ in range(2):
        make_away(server, "a")
    make_socket(server, "a")
    make_away(dead, "a")
    (room,) = rows(browser, "room")
    assert room.found.counted == 3
    key = group_name("/", "a")
    text = page(browser, "room", key)
    assert f'room_key={key}">3</a>' in field(text, "members")
    assert f'?room_key={key}&amp;away=1">2</a>' in field(text, "away_members")
    text = page(browser, "server", server.pk)
    assert f'?server={server.pk}">3</a>' in field(text, "socket_count")
    assert f'?server={server.pk}&amp;away=1">2</a>' in field(text, "away_count")
    assert "<a" not in field(page(browser, "server", dead.pk), "away_count")


def test_without_recovery_there_is_no_word_of_it(browser: Client, settings: Settings) -> None:
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": None}
    server = make_server()
    make_socket(server, "a")
    pages = [
        browser.get(f"{URL}socket/").content.decode(),
        page(browser, "room", group_name("/", "a")),
        page(browser, "server", server.pk),
    ]
    assert not [text for text in pages if "away" in text.lower()]


def test_a_filter_in_a_url_works_without_recovery(browser: Client, settings: Settings) -> None:
    """Such as on one server of a cluster that has not been started anew yet."""
    settings.REALTIME = {**settings.REALTIME, "RECOVERY": None}
    away = make_away(make_server())
    make_socket(make_server())
    assert rows(browser, "socket", away="1") == [away]


# The live page


async def test_what_the_hub_tells(hub: Hub, connect: Connect) -> None:
    user = get_user_model()(username="ann", pk=1)
    client = await connect(user=user, scope={"client": ("10.1.2.3", 5000)})
    (socket,) = hub.registry.sockets.values()
    assert hub.describe()["away"] == 0
    hub.sessions = away = Away()
    away.kept[socket.sid] = socket  # type: ignore[assignment]
    try:
        hub.observers.away(socket)
        hub.observers.moved(socket)
        hub.observers.adopted(socket)
        hub.observers.back(socket)
        told = check_report(json.loads(json.dumps(hub.describe())))
    finally:
        away.kept.clear()
    assert told["away"] == 1
    assert [item["kind"] for item in told["news"]] == ["connect", "away", "back"]
    for item in told["news"]:
        assert (item["sid"], item["user"], item["address"]) == (client.sid, "ann", "10.1.2.3")
        assert item["transport"] == "websocket"
        assert time.time() - item["at"] < 30
    assert isinstance(socket, LiveSocket)


def test_what_is_told_of_a_session() -> None:
    feed = ActivityFeed()
    session = Wanderer("abcdef-1", facts=facts(transport="polling"))
    feed.away(session)
    feed.closed(session, "transport close")
    told = [(item["kind"], item["transport"], item["reason"]) for item in feed.recent()]
    assert told == [("away", "polling", ""), ("disconnect", "polling", "transport close")]
