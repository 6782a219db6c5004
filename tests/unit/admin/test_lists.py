"""The lists of sockets, rooms and servers, and the pages of one of them."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.html import escape
from pytest_django import Settings

from realtime.admin import servers
from realtime.cluster.envelopes import group_name
from realtime.hub.counters import Counters
from realtime.models import Socket

from ..conftest import NAMESPACES
from .conftest import LogIn, make_server, make_socket

URL = "/admin/realtime/"


def rows(browser: Client, model: str, **query: str) -> list[Any]:
    """Return what a list shows."""
    response = browser.get(f"{URL}{model}/", query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def names(browser: Client, **query: str) -> list[str]:
    """Return the names of the rooms that their list shows."""
    return [room.name for room in rows(browser, "room", **query)]


def page(browser: Client, model: str, pk: str) -> str:
    """Return the page of one row."""
    response = browser.get(f"{URL}{model}/{quote(pk)}/change/")
    assert response.status_code == 200
    return str(response.content.decode())


# Sockets


def test_sockets_of_living_servers_the_newest_first(browser: Client) -> None:
    living, late, dead = make_server(), make_server(seen=12), make_server(seen=16)
    old, new = make_socket(living, age=60), make_socket(late, age=5)
    make_socket(dead)
    assert rows(browser, "socket") == [new, old]


def test_what_the_list_of_sockets_says(browser: Client) -> None:
    ann = get_user_model().objects.create(username="ann")
    server = make_server("web1.example.com")
    socket = make_socket(
        server, namespace="/orders/7", user=ann, address="10.1.2.3", transport="polling", age=90
    )
    text = browser.get(f"{URL}socket/").content.decode()
    for part in ("/orders/7", "10.1.2.3", "HTTP long-polling", "1\xa0minute ago", socket.sid[:10]):
        assert part in text
    assert f'href="/admin/auth/user/{ann.pk}/change/">ann</a>' in text
    assert f'href="/admin/realtime/server/{quote(server.pk)}/change/">web1.example.com</a>' in text


def test_a_user_who_was_deleted_in_the_same_moment(browser: Client) -> None:
    socket = make_socket(make_server(), user_id=12345)
    assert rows(browser, "socket") == [socket]
    assert socket.sid in page(browser, "socket", socket.sid)


def test_search_of_sockets(browser: Client) -> None:
    server = make_server()
    user = get_user_model().objects.create(username="Дарья Petrova")
    one = make_socket(server, user=user, address="10.1.2.3")
    two = make_socket(server, address="10.1.4.4")
    for text, found in {
        one.sid: [one],
        one.sid[:12]: [one],
        "10.1.": [two, one],
        "10.1.2": [one],
        "1.2.3": [],
        "petr": [one],
        "petr 10.1.2": [one],
        "petr 10.1.4": [],
        "100%": [],
    }.items():
        assert rows(browser, "socket", q=text) == found, text


def test_filters_of_sockets(browser: Client) -> None:
    first, second = make_server("web1"), make_server("web2")
    one = make_socket(first, "a", "Room №1", "", namespace="/", age=1)
    two = make_socket(second, "a", namespace="/users", transport="polling", age=2)
    make_socket(second, namespace="/orders/7", age=3)
    for query, found in (
        ({"namespace": "/users"}, [two]),
        ({"namespace": ""}, rows(browser, "socket")),
        ({"namespace": "/nowhere"}, []),
        ({"room": "a"}, [one, two]),
        ({"room": "a", "namespace": "/users"}, [two]),
        ({"room": "Room №1"}, [one]),
        ({"room": "nobody"}, []),
        ({"room": "\0"}, []),
        ({"room_key": "\0"}, []),
        ({"namespace": "\0"}, []),
        ({"namespace": "x" * 300}, []),
        ({"room_key": group_name("/", "a")}, [one]),
        ({"room_key": group_name("/", "")}, [one]),
        ({"room_key": "nonsense"}, []),
        ({"server": second.pk, "namespace": "/users"}, [two]),
        ({"server": "nobody"}, []),
        ({"transport__exact": "polling"}, [two]),
        ({"connection": one.connection}, [one]),
    ):
        assert rows(browser, "socket", **query) == found, query


def test_namespaces_are_offered_while_there_are_few(browser: Client) -> None:
    server = make_server()
    for number in range(20):
        make_socket(server, namespace=f"/orders/{number}")
    offered = '<a href="?namespace=%2Forders%2F13">/orders/13</a>'
    assert offered in browser.get(f"{URL}socket/").content.decode()
    make_socket(server, namespace="/one/more")
    text = browser.get(f"{URL}socket/").content.decode()
    assert offered not in text
    assert '<input type="text" name="namespace"' in text


def test_a_filter_keeps_the_others(browser: Client) -> None:
    make_socket(make_server(), "a")
    text = browser.get(f"{URL}socket/", {"room": "a", "q": "127", "p": "1"}).content.decode()
    assert '<input type="hidden" name="room" value="a">' in text
    assert '<input type="hidden" name="q" value="127">' in text
    assert '<input type="text" name="room" value="a"' in text
    assert '<input type="hidden" name="p"' not in text


def test_page_of_a_socket(browser: Client) -> None:
    socket = make_socket(make_server(), "Room №1", "", *(f"room {n:03}" for n in range(110)))
    text = page(browser, "socket", socket.sid)
    for part in ("Room №1", "“”", "room 050", "and 12 more rooms"):
        assert part in text
    assert f'href="/admin/realtime/room/{group_name("/", "Room №1")}/change/">' in text
    assert "room 109" not in text
    assert 'type="submit"' not in text.replace('<button type="submit">Log out</button>', "")


def test_what_a_socket_shares(browser: Client) -> None:
    server = make_server()
    socket = make_socket(server, data={"name": "Ада", "page": ["</pre><script>x</script>"]})
    text = page(browser, "socket", socket.sid)
    for part in ("&quot;name&quot;: &quot;Ада&quot;", "&lt;/pre&gt;&lt;script&gt;x"):
        assert part in text
    assert "<script>x" not in text
    assert "realtime-data" not in page(browser, "socket", make_socket(server).sid)


def test_page_of_a_socket_that_is_gone(browser: Client) -> None:
    socket = make_socket(make_server(seen=100))
    for pk in (socket.sid, "nobody"):
        response = browser.get(f"{URL}socket/{quote(pk)}/change/", follow=True)
        assert "doesn’t exist" in response.content.decode()


# Rooms


def test_rooms_with_their_members(browser: Client) -> None:
    living, dead = make_server(), make_server(seen=100)
    for _ in range(3):
        make_socket(living, "a", "b")
    make_socket(living, "a", namespace="/users")
    make_socket(dead, "a", "ghosts")
    shown = [(room.namespace, room.name, room.found.counted) for room in rows(browser, "room")]
    assert shown == [("/", "a", 3), ("/", "b", 3), ("/users", "a", 1)]
    text = browser.get(f"{URL}room/").content.decode()
    assert f'<a href="/admin/realtime/socket/?room_key={group_name("/", "a")}">3</a>' in text


def test_search_and_filter_of_rooms(browser: Client) -> None:
    server = make_server()
    make_socket(server, "Room №1", "shop")
    make_socket(server, "Room №2", namespace="/shop")
    assert names(browser, q="№") == ["Room №1", "Room №2"]
    assert names(browser, q="shop") == ["shop", "Room №2"]
    assert names(browser, namespace="/shop") == ["Room №2"]


def test_names_of_rooms_that_cannot_be_seen(browser: Client) -> None:
    make_socket(make_server(), "", "  ", "<b>")
    text = browser.get(f"{URL}room/").content.decode()
    assert "“”" in text
    assert "“  ”" in text
    assert escape("<b>") in text
    assert "<b>" not in text


def test_page_of_a_room(browser: Client) -> None:
    living, dead = make_server(), make_server(seen=100)
    make_socket(living, "Room №1")
    make_socket(dead, "Room №1", "ghosts")
    text = page(browser, "room", group_name("/", "Room №1"))
    assert "Room №1" in text
    assert "room_key=" in text
    response = browser.get(f"{URL}room/{group_name('/', 'ghosts')}/change/", follow=True)
    assert "doesn’t exist" in response.content.decode()


# Servers


@pytest.mark.parametrize(
    ("seen", "health"),
    [(0, "living"), (8, "living"), (11, "late"), (14, "late"), (16, "gone"), (-3600, "living")],
)
def test_health_of_a_server(browser: Client, seen: float, health: str) -> None:
    make_server(seen=seen)
    (server,) = rows(browser, "server")
    assert server.state == health


def test_what_the_list_of_servers_says(browser: Client) -> None:
    server, gone = make_server("web1", seen=3), make_server("web2", seen=100)
    for each in (server, server, gone):
        make_socket(each)
    text = browser.get(f"{URL}server/").content.decode()
    assert f'<a href="/admin/realtime/socket/?server={server.pk}">2</a>' in text
    assert f"server={gone.pk}" not in text
    for part in (
        "web1",
        "daphne 4.2.3",
        "realtime 0.1.0, python 3.12.1",
        "3\xa0hours",
        "seconds ago",
    ):
        assert part in text
    assert "4100" in page(browser, "server", server.pk)


def test_what_servers_report_to_be_wrong(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = make_server("web1"), make_server("web2")
    own, other = bad.pk, "zzzzzz"
    told = [
        {"problem": "service-failed", "service": "publisher", "times": 3},
        {"problem": "clock-off", "server": other, "ahead": -172800.5},
        {"problem": "of a newer version", "text": "<b>"},
        {"problem": "service-failed"},
        "nonsense",
    ]
    monkeypatch.setattr(servers, "reports", lambda: {own: {"problems": told}})
    for text in (browser.get(f"{URL}server/").content.decode(), page(browser, "server", own)):
        assert "publisher fails, and is started again" in text
        assert "the clock of zzzzzz is -172800.5 seconds ahead" in text
        assert "of a newer version" in text
        assert "<b>" not in text
        assert "nonsense" in text
    assert "fails" not in page(browser, "server", good.pk)


def test_reports_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    assert servers.reports() == {}

    class Hub:
        server_id = "own"
        draining = True
        services = SimpleNamespace(faults=dict)
        files = SimpleNamespace(exhausted=True)
        report = staticmethod(lambda: {"cut": 2})
        cluster = SimpleNamespace(
            problems=list,
            reports=lambda: {"two": {"problems": [{"problem": "layer-down"}]}, "old": {}},
        )

    monkeypatch.setattr(servers, "find_hub", Hub)
    assert servers.reports() == {
        "own": {"cut": 2, "problems": [{"problem": "draining"}, {"problem": "files-exhausted"}]},
        "two": {"problems": [{"problem": "layer-down"}]},
        "old": {},
    }


def test_what_servers_count(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    told, silent = make_server(), make_server()
    monkeypatch.setattr(servers, "reports", lambda: {told.pk: {"not_upgraded": 7, "rooms": 8}})
    text = page(browser, "server", told.pk)
    assert "clients that stayed on polling, which could not be taken over: 7" in text
    assert "clients cut off" not in text
    assert "clients that stayed" not in page(browser, "server", silent.pk)


def test_all_that_is_counted_can_be_shown() -> None:
    assert set(servers.COUNTED) == {field.name for field in fields(Counters)} | {"lost"}


def test_one_that_drains_says_so(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server()
    draining = {server.pk: {"problems": [{"problem": "draining"}]}}
    monkeypatch.setattr(servers, "reports", lambda: draining)
    assert "is draining: it takes no more clients" in page(browser, "server", server.pk)


# Who sees them, and that nobody changes them


@pytest.mark.parametrize("model", ["socket", "room", "server"])
def test_only_who_may_view(log_in: LogIn, model: str) -> None:
    server = make_server()
    make_socket(server, "a")
    others = {"socket", "room", "server"} - {model}
    without = log_in(*(f"view_{other}" for other in others), name="without")
    assert without.get(f"{URL}{model}/").status_code == 403
    viewer = log_in(f"view_{model}", name="viewer")
    assert len(rows(viewer, model)) == 1
    assert viewer.get(f"{URL}{others.pop()}/").status_code == 403
    outsider = log_in(f"view_{model}", name="outsider", is_staff=False)
    assert outsider.get(f"{URL}{model}/").status_code == 302


@pytest.mark.parametrize("model", ["socket", "room", "server"])
def test_nobody_changes_rows(browser: Client, model: str) -> None:
    server = make_server()
    socket = make_socket(server, "a")
    pk = {"socket": socket.sid, "room": group_name("/", "a"), "server": server.pk}[model]
    for view in ("add/", f"{quote(pk)}/delete/"):
        assert browser.get(f"{URL}{model}/{view}").status_code == 403
        assert browser.post(f"{URL}{model}/{view}").status_code == 403
    assert browser.post(f"{URL}{model}/{quote(pk)}/change/", {"namespace": "/x"}).status_code == 403
    response = browser.post(
        f"{URL}{model}/", {"action": "delete_selected", "_selected_action": pk, "index": 0}
    )
    assert response.status_code in (200, 302)
    assert Socket.objects.get().namespace == "/"
    assert "delete_selected" not in browser.get(f"{URL}{model}/").content.decode()


@pytest.mark.parametrize("model", ["socket", "room", "server"])
def test_without_presence(browser: Client, settings: Settings, model: str) -> None:
    make_socket(make_server(), "a")
    settings.REALTIME = {"NAMESPACES": NAMESPACES, "PRESENCE": False}
    response = browser.get(f"{URL}{model}/")
    assert list(response.context["cl"].result_list) == []
    assert "Presence is off" in response.content.decode()
