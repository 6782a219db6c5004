"""The admin's pages under themes, each with other blocks, other styles and other scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
import socketio
from playwright.sync_api import Browser, Page, expect

from tests.live import LiveServer, empty_database, migrate
from tests.processes import ROOT

from .conftest import DEADLINE

SETTINGS = "tests.site.themed"
ROOM = "Room №1"
CREATE = """
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.create_superuser("root"))
print(client.cookies["sessionid"].value)
"""

THEMES = ("stock", "jazzmin", "unfold", "grappelli")


class Site(NamedTuple):
    """
    A site with a theme, a superuser's session, and two clients: one in a room, the other in none.
    """

    theme: str
    server: LiveServer
    session: str
    inside: Any
    outside: Any

    def url(self, path: str = "") -> str:
        """Return the URL of a page of the app's admin."""
        return f"{self.server.url}/admin/realtime/{path}"

    def page_of(self, client: Any) -> str:
        """Return the URL of a client's page, with a slash."""
        return self.url(f"socket/{client.sid.replace('_', '_5F')}/")


@pytest.fixture(scope="module", params=THEMES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Each theme in turn."""
    env = {"ADMIN_THEME": request.param, "SECRET_KEY": "s" * 50}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        database = empty_database()
        migrate(database, SETTINGS)
        created = subprocess.run(
            [sys.executable, "-c", CREATE],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, "DATABASE_URL": database},
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    with LiveServer("uvicorn", settings=SETTINGS, env=env, database=database) as server:
        clients = [socketio.SimpleClient(reconnection=False) for _ in range(2)]
        for client in clients:
            client.connect(server.url, transports=["websocket"], wait_timeout=20)
        inside, outside = clients
        outside.call("leave", ROOM)
        yield Site(request.param, server, created.stdout.strip(), inside, outside)
        for client in clients:
            client.disconnect()


@pytest.fixture
def scheme() -> str:
    """What the browser prefers."""
    return "light"


@pytest.fixture
def page(browser: Browser, site: Site, scheme: str) -> Iterator[Page]:
    """A tab of a superuser. No script of a page may have failed in it."""
    errors: list[str] = []
    with closing(browser.new_context(color_scheme=scheme)) as context:  # type: ignore[arg-type]
        cookie = {"name": "sessionid", "value": site.session, "url": site.server.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        # A theme's own fonts may be elsewhere.
        page.route(lambda url: not url.startswith(site.server.url), lambda route: route.abort())
        page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
        yield page
    assert errors == []


def listed(page: Page) -> list[str]:
    """Return the ids in the list."""
    return [str(code.get_attribute("title")) for code in page.locator("code[title]").all()]


def test_every_page_shows_what_it_is_for(site: Site, page: Page) -> None:
    sid = site.inside.sid
    of_one = site.page_of(site.inside)
    pages = {
        site.url(): "Live: what happens now",
        site.url("socket/"): f"{sid[:10]}…",
        site.url("room/"): ROOM,
        site.url("server/"): "uvicorn",
        f"{of_one}change/": ROOM,
        f"{of_one}do/send_event/": sid,
        f"{of_one}do/disconnect_socket/": "Yes, disconnect",
        f"{of_one}history/": sid,
    }
    for url, text in pages.items():
        response = page.goto(url)
        assert response is not None
        assert response.status == 200, url
        shown = page.get_by_text(text).or_(page.locator(f'input[value="{text}"]'))
        expect(shown.first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_live_page_comes_alive(site: Site, page: Page) -> None:
    page.goto(site.url())
    page.get_by_role("link", name="Live: what happens now").click()
    expect(page.locator("#live-state")).to_have_text("live · WebSocket")
    expect(page.locator("#live-state")).to_be_visible()
    expect(page.locator(".live-server")).to_have_count(1)
    expect(page.locator('[data-total="clients"] output')).to_have_text("3")
    expect(page.locator(".live-unstyled")).to_be_hidden()
    # A card is told from what is behind it, and its text is read on it.
    card = page.locator(".live-server").first
    border = card.evaluate("card => getComputedStyle(card).borderTopWidth")
    assert border == "1px"
    assert contrast(page, ".live-server h3") > 4.5
    assert contrast(page, ".live-news a") > 3
    page.set_viewport_size({"width": 390, "height": 800})
    wide = "document.querySelector('.live').getBoundingClientRect().right <= innerWidth"
    assert page.evaluate(wide)


# The contrast of a text to what is painted behind it, by WCAG; a canvas mixes the colours.
CONTRAST = """
(selector) => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const paint = (color) => { context.fillStyle = color; context.fillRect(0, 0, 1, 1); };
  const luminance = () => {
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  const behind = [];
  for (let one = element; one; one = one.parentElement) {
    behind.unshift(getComputedStyle(one).backgroundColor);
  }
  paint("Canvas");
  behind.forEach(paint);
  const back = luminance();
  paint(getComputedStyle(element).color);
  const front = luminance();
  return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
}
"""


def contrast(page: Page, selector: str) -> float:
    page.locator(selector).first.wait_for()
    return float(page.evaluate(CONTRAST, selector))


def type_room(site: Site, page: Page) -> None:
    """Type a room into the filter, as the theme has it."""
    if site.theme == "unfold":
        page.locator("a", has_text="Filters").first.click()
    elif site.theme == "grappelli":
        page.locator(".grp-pulldown-handler").first.click()
    field = page.locator('input[name="room"]:not([type="hidden"])')
    expect(field).to_be_visible()
    border = field.evaluate("field => getComputedStyle(field).borderTopStyle")
    assert border != "none", "a field looks like a field"
    field.fill(ROOM)
    field.press("Enter")


def test_filters_work_together(site: Site, page: Page) -> None:
    page.goto(site.url("socket/?namespace=/"))
    expect(page.locator("code[title]")).to_have_count(2)
    type_room(site, page)
    page.wait_for_url("**room=*")
    assert "namespace=" in page.url
    expect(page.locator("code[title]")).to_have_count(1)
    assert listed(page) == [site.inside.sid]


def test_search_works_with_a_filter(site: Site, page: Page) -> None:
    page.goto(site.url("socket/?namespace=/"))
    search = page.locator('input[name="q"]')
    search.fill(site.outside.sid)
    search.press("Enter")
    page.wait_for_url("**q=*")
    assert "namespace=" in page.url
    expect(page.locator("code[title]")).to_have_count(1)
    assert listed(page) == [site.outside.sid]


def test_an_event_is_sent_to_chosen_sockets(site: Site, page: Page) -> None:
    page.goto(site.url("socket/?namespace=/"))
    page.locator(f'tr:has(code[title="{site.outside.sid}"]) input[type="checkbox"]').check()
    page.locator('select[name="action"]').first.select_option("send_event", force=True)
    page.locator(
        'button[name="index"], .actions button, [type="submit"][name="index"]'
    ).first.click()
    expect(page.locator("body")).to_contain_text("This concerns 1 socket")
    field = page.locator('input[name="do-event"]')
    assert field.evaluate("field => getComputedStyle(field).borderTopStyle") != "none"
    field.fill("greeting")
    page.locator('input[name="do"]').click()
    expect(page.locator("body")).to_contain_text("1 socket")
    while (event := site.outside.receive(timeout=20))[0] != "greeting":
        assert event[0] in ("message", "said"), event
