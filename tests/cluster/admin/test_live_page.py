"""The live page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.conftest import KINDS
from tests.clusters import LiveCluster
from tests.live import LiveServer

from .conftest import Join, Open, database

NO_PERMISSION = "You have no permission to view sockets."


def open_live(page: Page, server: LiveServer) -> None:
    """Go to the live page from the app's page, and wait until it is connected."""
    page.goto(f"{server.url}/admin/realtime/")
    page.get_by_role("link", name="Live: what happens now").click()
    expect_state(page, "connected")


def expect_state(page: Page, state: str) -> None:
    """Wait until the live page is connected, disconnected or refused."""
    expect(page.locator("#live-state")).to_have_attribute("data-state", state)


def expect_news(page: Page, sid: str, *kinds: str) -> None:
    """Wait until the live page shows what a client has done, the newest first."""
    lines = page.locator(f'#live-news li[data-sid="{sid}"] [data-kind]')
    expect(lines).to_have_text(list(kinds))


@pytest.mark.parametrize("number", [0, 1], ids=KINDS)
def test_live_page_shows_all_servers(
    cluster: LiveCluster, log_in: Open, join: Join, room: str, number: int
) -> None:
    page = log_in(cluster[number])
    open_live(page, cluster[number])
    expect(page.locator("#live-state")).to_have_text("live · WebSocket")
    expect(page.locator(".live-server")).to_have_count(2)
    here, there = join(cluster[number], room), join(cluster[1 - number], room)
    expect_news(page, here.sid, "connected")
    expect_news(page, there.sid, "connected")
    expect(page.locator('[data-total="servers"] output')).to_have_text("2")

    card = page.locator(f'.live-server[data-server="{there.sid[:6]}"]')
    for event in range(200):
        there.emit("emit to", ([room], [], event))
    expect(card.locator('[data-color="in"] b').last).not_to_have_text("0")
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
        expect(page.locator(".live-server")).to_have_count(3)
        server.kill()
        expect_state(page, "disconnected")
        expect(page.locator("#live-state")).to_contain_text("trying again")
        server.start()
        expect_state(page, "connected")
        expect_news(page, join(cluster[0]).sid, "connected")


# A client of the page's namespace that tells what a test says.
TOLD = """
window.io = () => {
  const handlers = {};
  window.tell = (event, ...args) => handlers[event](...args);
  return { on: (event, handler) => (handlers[event] = handler), io: {}, active: true };
};
"""


def test_live_page_shows_who_is_away(log_in: Open, cluster: LiveCluster) -> None:
    page = log_in(cluster[0])
    script = "**/realtime/realtime.js"
    page.route(script, lambda route: route.fulfill(body=TOLD, content_type="text/javascript"))
    page.goto(f"{cluster[0].url}/admin/realtime/socket/live/")
    sid = "abcdef_a-sid"
    news = [
        {"number": number, "at": 1_790_000_000 + number, "kind": kind, "sid": sid, "namespace": "/"}
        | {"user": "ann", "address": "10.1.2.3", "transport": "polling", "reason": ""}
        for number, kind in enumerate(["connect", "away", "back", "away"], 1)
    ]
    counts = {"connections": 12, "rooms": 3, "events_in": 0, "events_out": 0, "away": 2}
    report = {"id": "abcdef", "host": "web1", "pid": 1, "uptime": 60, **counts, "news": news}
    page.evaluate("servers => tell('state', { servers })", [report])
    expect_news(page, sid, "away", "back", "away", "connected")
    numbers = page.locator(".live-numbers span").first
    expect(numbers).to_have_text("clients 12 · away 2")
    lines = page.locator(f'#live-news li[data-sid="{sid}"]')
    expect(lines.locator("a")).to_have_count(4)  # it is in the lists still
    expect(lines.first.locator(".live-more")).to_have_text("10.1.2.3 · HTTP long-polling")
    page.evaluate("servers => tell('state', { servers })", [{**report, "uptime": 62, "away": 0}])
    expect(numbers).to_have_text("clients 12")
