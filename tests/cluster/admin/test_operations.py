"""What is done with sockets and rooms, and what the lists show."""

from __future__ import annotations

import pytest
import socketio
from django.contrib.admin.utils import quote
from playwright.sync_api import Page, expect
from socketio.exceptions import DisconnectedError

from tests.clusters import LiveCluster
from tests.live import LiveServer

from .conftest import Join, Open, database


def choose(page: Page, site: LiveServer, model: str, text: str, action: str) -> None:
    """Choose all rows that a search finds in a list, and an action."""
    page.goto(f"{site.url}/admin/realtime/{model}/?q={text}")
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label=action)
    page.get_by_role("button", name="Go").click()


def say(page: Page, button: str) -> None:
    """Press the button that does it."""
    page.locator(".submit-row").get_by_role("button", name=button).click()


def expect_message(page: Page, text: str) -> None:
    """Wait until the page says what was done."""
    expect(page.locator(".messagelist .success")).to_have_text([text])


def expect_rooms(page: Page, site: LiveServer, sid: str, rooms: list[str]) -> None:
    """See that a socket's page has these rooms."""
    page.goto(f"{site.url}/admin/realtime/socket/{quote(sid)}/change/")
    expect(page.locator(".realtime-rooms li")).to_have_text(rooms)


def expect_gone(client: socketio.SimpleClient) -> None:
    """Wait until the server has disconnected a client."""
    with pytest.raises(DisconnectedError):
        client.receive(timeout=20)


def test_everything_that_can_be_done_with_a_socket(
    cluster: LiveCluster, site: LiveServer, log_in: Open, join: Join, room: str
) -> None:
    client, other = join(cluster[1]), join(cluster[1])
    sid = client.sid
    page = log_in(site)

    choose(page, site, "socket", client.sid, "Send an event to selected sockets")
    page.get_by_label("Event:").fill("said")
    page.get_by_label("Arguments:").fill('["hi",')
    say(page, "Send")
    expect(page.locator(".errorlist")).to_contain_text("Line 1, column 7")
    page.get_by_label("Arguments:").fill('["hi", {"№": 1}]')
    say(page, "Send")
    expect_message(page, "The event “said” was sent to 1 socket.")
    assert client.receive(timeout=20) == ["said", "hi", {"№": 1}]

    choose(page, site, "socket", client.sid, "Let selected sockets join a room")
    page.get_by_label("Room:").fill(room)
    say(page, "Join")
    expect_message(page, f"1 socket is in the room “{room}” now.")
    expect_rooms(page, site, client.sid, [room])
    other.emit("emit to", ([room], [], "for the room"))
    assert client.receive(timeout=20) == ["said", "for the room"]

    choose(page, site, "socket", client.sid, "Let selected sockets leave a room")
    page.get_by_label("Room:").fill(room)
    say(page, "Leave")
    expect_message(page, f"1 socket left the room “{room}”.")
    expect_rooms(page, site, client.sid, [])

    page.get_by_role("link", name="Disconnect").click()
    say(page, "Yes, disconnect")
    expect_message(page, "1 socket was disconnected.")
    expect_gone(client)
    assert other.call("lost") == 0  # and nobody else

    page.goto(f"{site.url}/admin/")
    with database(cluster) as connection:
        entries = connection.execute(
            "SELECT change_message FROM django_admin_log WHERE object_id = ? ORDER BY id",
            [sid],
        ).fetchall()
    assert [message for (message,) in entries] == [
        'Sent the event “said” with ["hi", {"№": 1}].',
        f"Joined the room “{room}”.",
        f"Left the room “{room}”.",
        "Disconnected.",
    ]
    expect(page.locator(".actionlist")).to_contain_text(sid)


def test_everything_that_can_be_done_with_a_room(
    cluster: LiveCluster, site: LiveServer, log_in: Open, join: Join, room: str
) -> None:
    members = [join(cluster[0], room), join(cluster[1], room), join(cluster[1], room)]
    page = log_in(site)

    choose(page, site, "room", room, "Send an event to selected rooms")
    page.get_by_label("Event:").fill("said")
    say(page, "Send")
    expect_message(page, "The event “said” was sent to 3 sockets.")
    for member in members:
        assert member.receive(timeout=20) == ["said"]

    choose(page, site, "room", room, "Let selected rooms join a room")
    page.get_by_label("Room:").fill(f"{room}, too")
    say(page, "Join")
    expect_message(page, f"3 sockets are in the room “{room}, too” now.")

    page.goto(f"{site.url}/admin/realtime/room/?q={room}, too")
    page.locator(".results tbody th a").click()
    expect(page.locator(".field-members .readonly")).to_have_text("3")
    page.get_by_role("link", name="Let all leave").click()
    say(page, "Yes, let all leave")
    expect_message(page, "3 sockets left.")
    expect_rooms(page, site, members[1].sid, [room])

    choose(page, site, "room", room, "Disconnect selected rooms")
    say(page, "Yes, disconnect")
    expect_message(page, "3 sockets were disconnected.")
    for member in members:
        expect_gone(member)


def test_lists(cluster: LiveCluster, site: LiveServer, log_in: Open, join: Join, room: str) -> None:
    clients = [join(server, room) for server in cluster]
    page = log_in(site)
    page.goto(f"{site.url}/admin/realtime/room/?q={room}")
    page.get_by_role("link", name="2", exact=True).click()
    expect(page.locator(".results tbody tr")).to_have_count(2)
    expect(page.locator(".results code").first).to_have_attribute("title", clients[1].sid)
    page.locator('[data-filter-title="room"] input[type="text"]').fill("nobody")
    page.locator('[data-filter-title="room"] input[type="submit"]').click()
    expect(page.locator(".paginator")).to_contain_text("0 sockets")
    page.goto(f"{site.url}/admin/realtime/server/")
    expect(page.locator(".realtime-living")).to_have_count(2)
    expect(page.locator(".results")).to_contain_text("daphne")
    expect(page.locator(".results")).to_contain_text("uvicorn")
