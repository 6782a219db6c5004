"""
The admin in a real Chromium, on one server of a cluster or on a WSGI server beside it, with live
clients on another server.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import socketio
from django.contrib.admin.utils import quote
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from socketio.exceptions import DisconnectedError

from tests.cluster.conftest import KINDS
from tests.clusters import LiveCluster
from tests.live import ROOT, LiveServer
from tests.valkey import Valkey

DEADLINE = 15_000
PASSWORD = "a long password"
NO_PERMISSION = "You have no permission to view sockets."

Join = Callable[..., socketio.SimpleClient]
Open = Callable[..., Page]

CREATE = """
import django, sys
django.setup()
from django.contrib.auth.models import Permission, User
root = User.objects.create_superuser("root", password=sys.argv[1])
staff = User(username="staff", is_staff=True, password=root.password)
staff.save()
staff.user_permissions.add(Permission.objects.get(codename="view_socket"))
"""


@pytest.fixture(scope="module")
def cluster(valkey: Valkey) -> Iterator[LiveCluster]:
    """A daphne and a uvicorn, with a superuser "root", and "staff" who may view sockets."""
    with LiveCluster(KINDS, valkey) as cluster:
        env = {**os.environ, **cluster.env, "DATABASE_URL": cluster.database}
        env |= {"DJANGO_SETTINGS_MODULE": "tests.site.settings", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CREATE, PASSWORD]
        subprocess.run(command, env=env, cwd=ROOT, check=True)
        yield cluster


@contextmanager
def database(cluster: LiveCluster) -> Iterator[sqlite3.Connection]:
    """Yield a connection to the cluster's database; changes are committed."""
    path = Path(cluster.database.removeprefix("sqlite:///"))
    connection = sqlite3.connect(path, timeout=20)
    with connection:
        yield connection
    connection.close()


@pytest.fixture(scope="module")
def wsgi(cluster: LiveCluster) -> Iterator[LiveServer]:
    """A WSGI server of the same site, which has no clients of its own."""
    with LiveServer(
        "gunicorn",
        env=cluster.env,
        database=cluster.database,
        application="tests.site.wsgi:application",
    ) as server:
        yield server


@pytest.fixture(params=["asgi", "wsgi"])
def site(request: pytest.FixtureRequest, cluster: LiveCluster) -> LiveServer:
    """The server whose admin is used: one without the clients, of each kind in turn."""
    if request.param == "asgi":
        return cluster[0]
    server: LiveServer = request.getfixturevalue("wsgi")
    return server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    path = shutil.which("chromium")
    assert path, "these tests need Debian's chromium (apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def log_in(browser: Browser) -> Iterator[Open]:
    """A function that returns a tab of a user who has logged in to a server's admin."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def log_in(server: LiveServer, user: str = "root", script: str = "") -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(f"{server.url}/admin/login/?next=/admin/")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def join() -> Iterator[Join]:
    """A function ``(server, *rooms)`` that returns a new client of "/cluster" in the rooms."""
    with ExitStack() as stack:

        def join(server: LiveServer, *rooms: str) -> socketio.SimpleClient:
            client = stack.enter_context(socketio.SimpleClient(reconnection=False))
            client.connect(
                server.url,
                namespace="/cluster",
                auth={"rooms": list(rooms)},
                transports=["websocket"],
                wait_timeout=10,
            )
            return client

        yield join


@pytest.fixture
def room() -> str:
    """A room that no other test knows."""
    return f"Зал {uuid4().hex[:8]}"


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
    expect(page.locator(".messagelist .success")).to_have_text([text], timeout=DEADLINE)


def expect_rooms(page: Page, site: LiveServer, sid: str, rooms: list[str]) -> None:
    """See that a socket's page has these rooms."""
    page.goto(f"{site.url}/admin/realtime/socket/{quote(sid)}/change/")
    expect(page.locator(".realtime-rooms li")).to_have_text(rooms)


def expect_gone(client: socketio.SimpleClient) -> None:
    """Wait until the server has disconnected a client."""
    with pytest.raises(DisconnectedError):
        client.receive(timeout=10)


# What is done with sockets


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
    assert client.receive(timeout=10) == ["said", "hi", {"№": 1}]

    choose(page, site, "socket", client.sid, "Let selected sockets join a room")
    page.get_by_label("Room:").fill(room)
    say(page, "Join")
    expect_message(page, f"1 socket is in the room “{room}” now.")
    expect_rooms(page, site, client.sid, [room])
    other.emit("emit to", ([room], [], "for the room"))
    assert client.receive(timeout=10) == ["said", "for the room"]

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
        assert member.receive(timeout=10) == ["said"]

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


# The live page


def open_live(page: Page, server: LiveServer) -> None:
    """Go to the live page from the app's page, and wait until it is connected."""
    page.goto(f"{server.url}/admin/realtime/")
    page.get_by_role("link", name="Live: what happens now").click()
    expect_state(page, "connected")


def expect_state(page: Page, state: str) -> None:
    """Wait until the live page is connected, disconnected or refused."""
    expect(page.locator("#live-state")).to_have_attribute("data-state", state, timeout=DEADLINE)


def expect_news(page: Page, sid: str, *kinds: str) -> None:
    """Wait until the live page shows what a client has done, the newest first."""
    lines = page.locator(f'#live-news li[data-sid="{sid}"] [data-kind]')
    expect(lines).to_have_text(list(kinds), timeout=DEADLINE)


@pytest.mark.parametrize("number", [0, 1], ids=KINDS)
def test_live_page_shows_all_servers(
    cluster: LiveCluster, log_in: Open, join: Join, room: str, number: int
) -> None:
    page = log_in(cluster[number])
    open_live(page, cluster[number])
    expect(page.locator("#live-state")).to_have_text("live · WebSocket", timeout=DEADLINE)
    expect(page.locator(".live-server")).to_have_count(2, timeout=DEADLINE)
    here, there = join(cluster[number], room), join(cluster[1 - number], room)
    expect_news(page, here.sid, "connected")
    expect_news(page, there.sid, "connected")
    expect(page.locator('[data-total="servers"] output')).to_have_text("2")

    card = page.locator(f'.live-server[data-server="{there.sid[:6]}"]')
    for event in range(200):
        there.emit("emit to", ([room], [], event))
    expect(card.locator('[data-color="in"] b').last).not_to_have_text("0", timeout=DEADLINE)
    expect(card.locator('svg [data-color="out"] polyline')).to_have_count(1)

    gone = there.sid
    there.disconnect()
    expect_news(page, gone, "disconnected", "connected")
    page.locator(f'#live-news li[data-sid="{here.sid}"] a').click()
    expect(page.locator(".field-id_code code")).to_have_text(here.sid)


def test_live_page_by_polling(cluster: LiveCluster, log_in: Open, join: Join) -> None:
    script = "window.WebSocket = class { constructor() { throw new Error('blocked'); } };"
    page = log_in(cluster[0], script=script)
    open_live(page, cluster[0])
    expect_news(page, join(cluster[1]).sid, "connected")
    expect(page.locator("#live-state")).to_have_text("live · HTTP long-polling")


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        ("DELETE FROM auth_user_user_permissions", NO_PERMISSION),
        (
            "UPDATE auth_user SET is_staff = 0 WHERE username = 'staff'",
            "Only staff may see this. Log in to the admin.",
        ),
    ],
    ids=["permission", "staff"],
)
def test_who_loses_the_right_is_dropped(
    cluster: LiveCluster, log_in: Open, lose: str, reason: str
) -> None:
    with database(cluster) as connection:
        granted = connection.execute("SELECT * FROM auth_user_user_permissions").fetchall()
    page = log_in(cluster[0], "staff")
    open_live(page, cluster[0])
    other = log_in(cluster[1])
    open_live(other, cluster[1])
    with database(cluster) as connection:
        connection.execute(lose)
    expect_state(page, "refused")
    expect(page.locator("#live-reason")).to_have_text(reason)
    expect(page.locator(".live")).to_have_attribute("data-stale", "")
    expect_state(other, "connected")
    page.reload()
    expect(page.locator("#live-state")).to_have_count(0)
    with database(cluster) as connection:
        connection.execute("UPDATE auth_user SET is_staff = 1 WHERE username = 'staff'")
        connection.executemany(
            "INSERT OR IGNORE INTO auth_user_user_permissions VALUES (?, ?, ?)", granted
        )


def test_live_page_comes_back(log_in: Open, cluster: LiveCluster, join: Join) -> None:
    with LiveServer("uvicorn", env=cluster.env, database=cluster.database) as server:
        page = log_in(server)
        open_live(page, server)
        expect(page.locator(".live-server")).to_have_count(3, timeout=DEADLINE)
        server.kill()
        expect_state(page, "disconnected")
        expect(page.locator("#live-state")).to_contain_text("trying again")
        server.start()
        expect_state(page, "connected")
        expect_news(page, join(cluster[0]).sid, "connected")
