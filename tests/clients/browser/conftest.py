"""The demo in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import DEADLINE, running_chromium
from tests.live import LiveServer

Open = Callable[..., Page]


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


@pytest.fixture
def open_page(browser: Browser, server: LiveServer) -> Iterator[Open]:
    """A function that opens the page in a tab of its own and waits until it is connected."""
    contexts = []

    def open_page(base: LiveServer = server, script: str = "", transport: str = "") -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE)
        page.errors = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
        if script:
            page.add_init_script(script)
        page.goto(base.url)
        expect(page.get_by_test_id("state")).to_have_text("connected")
        if transport:
            expect(page.get_by_test_id("transport")).to_have_text(transport)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.errors == []  # type: ignore[attr-defined]
        context.close()


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
