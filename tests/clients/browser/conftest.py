"""The demo in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.chromium import DEADLINE, running_chromium
from tests.live import LiveServer

Open = Callable[..., Page]

VIEWPORT: ViewportSize = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """The demo under daphne."""
    with LiveServer("daphne", settings="project.settings") as server:
        yield server


@pytest.fixture(scope="module")
def unused_pages() -> list[Page]:
    """Empty tabs of the tests before: to use one again takes half as long as to open one."""
    return []


@pytest.fixture
def open_page(browser: Browser, server: LiveServer, unused_pages: list[Page]) -> Iterator[Open]:
    """A function that opens the page in a tab of its own and waits until it is connected."""
    opened: list[Page] = []

    def open_page(base: LiveServer = server, script: str = "", transport: str = "") -> Page:
        page = unused_pages.pop() if unused_pages and not script else new_page(browser)
        opened.append(page)
        page.errors = []  # type: ignore[attr-defined]
        page.has_script = bool(script)  # type: ignore[attr-defined]
        if script:
            page.add_init_script(script)
        page.goto(base.url)
        expect(page.get_by_test_id("state")).to_have_text("connected")
        if transport:
            expect(page.get_by_test_id("transport")).to_have_text(transport)
        return page

    yield open_page
    errors = [error for page in opened for error in page.errors]  # type: ignore[attr-defined]
    for page in opened:
        if page.has_script:  # type: ignore[attr-defined]
            page.context.close()
        else:
            page.context.set_offline(False)
            page.set_viewport_size(VIEWPORT)
            page.goto("about:blank")
            unused_pages.append(page)
    assert errors == []


def new_page(browser: Browser) -> Page:
    """Open a tab in which nothing moves: that would cost as much as all else."""
    page = browser.new_context(viewport=VIEWPORT, reduced_motion="reduce").new_page()
    page.set_default_timeout(DEADLINE)
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    return page


def expect_log(page: Page, text: str) -> None:
    """Wait until the page's log shows a text."""
    expect(page.get_by_test_id("log")).to_contain_text(text)


def sid_of(page: Page) -> str:
    return page.get_by_test_id("sid").inner_text()


def run(page: Page, script: str, argument: Any = None) -> Any:
    """Return what an async function of the page returns; `fresh(options)` gives a new socket."""
    prelude = """
        const connected = (socket) => new Promise((resolve, reject) => {
          socket.on("connect", () => resolve(socket));
          socket.on("connect_error", reject);
        });
        const fresh = (options, url = "/") => connected(io(url, { forceNew: true, ...options }));
        const heard = (socket, name) => new Promise((resolve) => {
          socket.once(name, (...args) => resolve(args));
        });
    """
    return page.evaluate(f"async (argument) => {{ {prelude} {script} }}", argument)
