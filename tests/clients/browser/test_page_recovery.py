"""What the demo page shows of recovery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, expect

from tests.clients.browser.conftest import DEADLINE, Open, expect_log, run, sid_of
from tests.live import LiveServer


@contextmanager
def away(page: Page) -> Iterator[None]:
    """Break the page's connection, and let it come back when the block ends."""
    expect(page.get_by_test_id("transport")).to_have_text("websocket", timeout=DEADLINE)
    page.context.set_offline(True)
    page.get_by_test_id("break").click()
    expect(page.get_by_test_id("state")).to_have_text("connecting", timeout=DEADLINE)
    expect(page.get_by_test_id("recovery")).to_have_text("–")
    yield
    page.context.set_offline(False)
    expect(page.get_by_test_id("state")).to_have_text("connected", timeout=30_000)


def numbers_of(page: Page) -> Any:
    """Return the first line of the page's numbers."""
    return page.get_by_test_id("numbers").locator("li").first


def test_a_broken_connection_misses_no_number(open_page: Open) -> None:
    page, other = open_page(), open_page()
    expect(page.get_by_test_id("recovery")).to_have_text("new")
    sid = sid_of(page)
    other.get_by_test_id("tell-numbers").click()
    expect(numbers_of(page)).to_contain_text("Page", timeout=DEADLINE)
    for _ in range(2):
        with away(page):
            now = run(other, "return lastTold")
            other.wait_for_function("(now) => lastTold > now + 2", arg=now, timeout=DEADLINE)
        expect(page.get_by_test_id("recovery")).to_have_text("recovered")
        assert sid_of(page) == sid
    other.get_by_test_id("tell-numbers").click()
    last = run(other, "await counted; return lastTold")
    for one in (page, other):
        expect(numbers_of(one)).to_contain_text(re.compile(rf"1 to {last}none missing$"))
    expect(page.get_by_test_id("log")).not_to_contain_text("lost")


def test_a_page_counts_while_its_own_connection_is_broken(open_page: Open) -> None:
    page = open_page()
    page.get_by_test_id("tell-numbers").click()
    expect(numbers_of(page)).to_contain_text("This page", timeout=DEADLINE)
    page.get_by_test_id("break").click()
    expect(page.get_by_test_id("recovery")).to_have_text("recovered", timeout=DEADLINE)
    for _ in range(2):  # stopped and started again, it goes on
        page.get_by_test_id("tell-numbers").click()
        last = run(page, "await counted; return lastTold")
        page.get_by_test_id("tell-numbers").click()
        page.wait_for_function("(last) => lastTold > last", arg=last, timeout=DEADLINE)
    page.get_by_test_id("tell-numbers").click()
    last = run(page, "await counted; return lastTold")
    expect(numbers_of(page)).to_contain_text(f"This page1 to {last}none missing")


def test_what_is_said_while_away_is_said_later(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    sid = sid_of(page)
    with away(page):
        for text in ("first", "second"):
            page.get_by_test_id("message").fill(f"held, {text}")
            page.get_by_test_id("send").click()
    server.wait_log(rf"message sid={sid} .*held, first[^\0]*message sid={sid} .*held, second")


def test_rooms_are_kept(open_page: Open) -> None:
    page, other = open_page(), open_page()
    for one in (page, other):
        one.get_by_test_id("room").fill("kept")
        one.get_by_test_id("join").click()
        expect(one.get_by_test_id("rooms")).to_contain_text("kept")
    page.get_by_test_id("namespace").select_option("/users")
    expect_log(page, "/users")
    with away(page):
        other.get_by_test_id("say-text").fill("while away")
        other.get_by_test_id("say").click()
        expect_log(other, "while away")
    expect_log(page, "while away")
    assert run(page, "return [...sockets.values()].map((socket) => socket.recovered)") == [True] * 2


def test_without_recovery_a_page_starts_anew(open_page: Open) -> None:
    with LiveServer("daphne", settings="project.settings", env={"RECOVERY": "0"}) as forgetful:
        page = open_page(forgetful)
        sid = sid_of(page)
        page.get_by_test_id("room").fill("asked for again")
        page.get_by_test_id("join").click()
        expect(page.get_by_test_id("rooms")).to_contain_text("asked for again")
        with away(page):
            pass
        expect(page.get_by_test_id("recovery")).to_have_text("new")
        assert sid_of(page) != sid
        page.get_by_test_id("say").click()
        expect_log(page, "Hello, room")


def test_what_is_wrong_with_numbers_is_said(open_page: Open) -> None:
    page = open_page()
    run(
        page,
        """
        for (const number of [5, 6, 10]) take("gaps", number);
        for (const number of [1, 3, 2]) take("late", number);
        for (const number of [1, 2, 2, 7, 5, 4, 6, 3]) take("both", number);
        take("one", 1);
        showNumbers();
        """,
    )
    lines = page.get_by_test_id("numbers").locator("li")
    expect(lines).to_have_text(
        [
            "Page one1none missing",
            "Page both1 to 74 late; 1 twice",
            "Page late1 to 31 late",
            "Page gaps5 to 10missing: 7 to 9",
        ]
    )
    run(page, "take('gaps', 8); take('new', 3); showNumbers()")
    expect(lines).to_have_text(
        [
            "Page new3none missing",
            "Page gaps5 to 10missing: 7, 9; 1 late",
            "Page one1none missing",
            "Page both1 to 74 late; 1 twice",
        ]
    )


def test_a_series_that_makes_no_sense_is_refused(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        const ask = (...args) => sockets.get("/").emitWithAck("number", ...args);
        const answers = await Promise.all([
          ask("", "series", 1), ask("room", "s".repeat(21), 1), ask("room", "series", 0),
        ]);
        return answers.map((answer) => answer.error.message);
        """,
    ) == [
        "a room's name has 1 to 200 characters",
        "a series' name has 20 characters at most",
        "a series counts from 1 to 1000000",
    ]
