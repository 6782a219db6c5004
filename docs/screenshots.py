"""
Make the screenshots of the admin guide again: `make screenshots`.

It starts a cluster of the demo with people who talk, waits until the charts are full, and looks at
the admin with Chromium. It needs what the tests need.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import socketio
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from tests.clusters import LiveCluster
from tests.processes import ROOT
from tests.valkey import Valkey

FOLDER = ROOT / "docs" / "images" / "admin"
KINDS = ("daphne", "uvicorn", "uvicorn")
PASSWORD = "screenshots"
NAMES = ("ann", "bob", "cleo", "дарья", "eve", "")
PEOPLE = 45

# Colours of a picture: the admin has few.
COLOURS = 256

SETUP = """
import django, sys
django.setup()
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
User = get_user_model()
User.objects.create_superuser("admin", password=sys.argv[1])
for name in sys.argv[2:]:
    user = User.objects.create_user(name)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print(name, session.session_key)
"""


def set_up(cluster: LiveCluster) -> dict[str, str]:
    """Create the users; return the session of each by name."""
    env = {**os.environ, **cluster.env, "DATABASE_URL": cluster.database}
    env |= {"DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": str(ROOT)}
    names = [name for name in NAMES if name]
    command = [sys.executable, "-c", SETUP, PASSWORD, *names]
    done = subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines())


class Person:
    """A client that comes and goes, and talks."""

    def __init__(self, number: int, cluster: LiveCluster, sessions: dict[str, str]) -> None:
        self._random = random.Random(number)
        self._server = cluster[number % len(KINDS)]
        self._address = f"127.0.{number // 8}.{10 + number}"
        self._session = sessions.get(NAMES[number % len(NAMES)], "")
        self._polling = number % 9 == 4
        self._namespaces = ["/", "/orders"] if number % 4 == 0 else ["/"]
        self._room = f"Room №{2 + number % 5}"

    async def live(self) -> None:
        """Connect, talk and leave, again and again."""
        await asyncio.sleep(self._random.uniform(0, 15))
        while True:
            connector = aiohttp.TCPConnector(local_addr=(self._address, 0))
            async with aiohttp.ClientSession(connector=connector) as session:
                client = socketio.AsyncClient(http_session=session, handle_sigint=False)
                await client.connect(
                    self._server.url,
                    headers={"Cookie": f"sessionid={self._session}", "User-Agent": "Shop/2.1"},
                    namespaces=self._namespaces,
                    transports=["polling"] if self._polling else ["websocket"],
                )
                try:
                    await self._talk(client)
                finally:
                    await client.shutdown()
            await asyncio.sleep(self._random.uniform(0.5, 4))

    async def _talk(self, client: Any) -> None:
        await client.call("join", self._room)
        until = time.monotonic() + self._random.uniform(20, 180)
        while time.monotonic() < until:
            room = self._random.choice(["Room №1", self._room, self._room])
            await client.emit("say", (room, "hello"))
            # More is said now, and less then.
            busy = 1.3 + abs((time.monotonic() / 40) % 2 - 1) * 4
            await asyncio.sleep(self._random.expovariate(1 / busy))


async def take(page: Page, name: str, height: int | None = None) -> None:
    """Save what a page shows, with few colours; cut after `height` pixels."""
    path = FOLDER / f"{name}.png"
    size = page.viewport_size
    assert size is not None
    clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
    await page.screenshot(path=path, clip=clip)  # type: ignore[arg-type]
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


async def log_in(browser: Browser, url: str, **options: Any) -> Page:
    """Return a tab in which the superuser is logged in."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    await page.goto(f"{url}/admin/login/?next=/admin/realtime/")
    await page.fill("#id_username", "admin")
    await page.fill("#id_password", PASSWORD)
    await page.click("[type=submit]")
    return page


async def look(browser: Browser, url: str, seconds: float) -> None:
    """Take all pictures; those of the live page after so many seconds."""
    wide = {"viewport": {"width": 1280, "height": 900}}
    phone = {"viewport": {"width": 390, "height": 844}}
    live = {
        "live": await log_in(browser, url, **wide),
        "live-dark": await log_in(browser, url, **wide, color_scheme="dark"),
        "live-phone": await log_in(browser, url, **phone, color_scheme="dark"),
    }
    for page in live.values():
        await page.goto(f"{url}/admin/realtime/socket/live/")
    await asyncio.sleep(seconds)
    for name, page in live.items():
        await take(page, name)
        await page.close()

    page = await log_in(browser, url, **wide)
    await take(page, "index", 430)
    await page.goto(f"{url}/admin/realtime/socket/")
    await take(page, "sockets")
    await page.goto(f"{url}/admin/realtime/room/")
    await take(page, "rooms", 620)
    await page.goto(f"{url}/admin/realtime/server/")
    await take(page, "servers", 400)
    await page.goto(f"{url}/admin/realtime/socket/?q=ann")
    await page.locator(".results tbody th a").first.click()
    await page.locator(".field-id_code").wait_for()
    await take(page, "socket")
    await page.get_by_role("link", name="Send an event").click()
    await page.get_by_label("Event:").fill("message")
    await page.get_by_label("Arguments:").fill('["The shop closes in ten minutes", {"minutes": 10}')
    await page.locator("[name=do]").click()
    await page.locator(".errornote").wait_for()
    await take(page, "send", 620)
    await page.get_by_label("Arguments:").fill(
        '["The shop closes in ten minutes", {"minutes": 10}]'
    )
    await page.locator("[name=do]").click()
    await page.locator(".messagelist").wait_for()
    await take(page, "sent", 420)
    await look_at_user(page, url)


async def look_at_user(page: Page, url: str) -> None:
    """Take the picture of the end of a user's page."""
    await page.goto(f"{url}/admin/auth/user/?q=ann")
    await page.locator(".field-username a").first.click()
    await page.set_viewport_size({"width": 1280, "height": 640})
    await page.locator(".realtime-connections-all").wait_for()
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await take(page, "user")


async def run(seconds: float) -> None:
    """Make all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Valkey() as valkey, LiveCluster(KINDS, valkey, settings="project.settings") as cluster:
        sessions = set_up(cluster)
        people = [Person(number, cluster, sessions) for number in range(PEOPLE)]
        living = [asyncio.create_task(person.live()) for person in people]
        async with async_playwright() as playwright, AsyncExitStack() as stack:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            stack.push_async_callback(browser.close)
            await look(browser, cluster[0].url, seconds)
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=290, help="how long people talk")
    asyncio.run(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
