"""Who has logged in on the demo page: forms, the namespace "/account" and the staff's room."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.live import LiveServer, new_database
from tests.processes import ROOT

from .conftest import DEADLINE, VIEWPORT, expect_log

SETTINGS = "project.settings"
PASSWORD = "a long password"
USERS = """
import sys
import django
django.setup()
from django.contrib.auth.models import User
User.objects.create_superuser("root", password=sys.argv[1])
for name in ("ann", "cleo", "dan", "eve"):
    User.objects.create_user(name, password=sys.argv[1], is_staff=True)
User.objects.create_user("bob", password=sys.argv[1])
"""

Enter = Callable[[str], Page]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """The demo, with a superuser, some staff, and somebody else."""
    env = {"SECRET_KEY": "s" * 50}
    database = new_database(SETTINGS)
    subprocess.run(
        [sys.executable, "-c", USERS, PASSWORD],
        env={**os.environ, **env, "DJANGO_SETTINGS_MODULE": SETTINGS, "DATABASE_URL": database},
        cwd=ROOT,
        check=True,
    )
    with LiveServer("uvicorn", settings=SETTINGS, env=env, database=database) as server:
        yield server


@pytest.fixture
def enter(browser: Browser, server: LiveServer) -> Iterator[Enter]:
    """A function that returns the page of somebody who has logged in, in a browser of their own."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def enter(name: str) -> Page:
        context = browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")
        contexts.append(context)
        context.set_default_timeout(DEADLINE)
        context.on("weberror", lambda error: errors.append(str(error.error)))
        page = context.new_page()
        page.goto(server.url)
        page.get_by_test_id("login").click()
        log_in(page, name)
        return page

    yield enter
    for context in contexts:
        context.close()
    assert errors == []


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Send the form for it."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def expect_account(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page shows who this is."""
    expect(page.get_by_test_id("account")).to_have_text(text)


def expect_in_staff_room(page: Page, inside: bool) -> None:
    """Wait until the page shows whether this one is in the staff's room."""
    text = "In the staff's room." if inside else "Not in the staff's room."
    expect(page.get_by_test_id("staff-room")).to_have_text(text)


def test_who_has_not_logged_in(browser: Browser, server: LiveServer) -> None:
    page = browser.new_page()
    page.goto(server.url)
    expect(page.get_by_test_id("state")).to_have_text("connected")
    expect(page.get_by_test_id("account")).to_have_count(0)
    code = page.evaluate(
        """() => new Promise((resolve) => {
            io("/account").on("connect_error", ({ data }) => resolve(data.code));
        })"""
    )
    assert code == 401
    page.get_by_test_id("login").click()
    log_in(page, "ann", "a wrong password")
    expect(page.get_by_role("alert")).to_contain_text("Please enter a correct username")
    page.close()


def test_the_staffs_room(enter: Enter) -> None:
    ann, bob = enter("ann"), enter("bob")
    expect_account(ann, "ann, staff")
    expect_account(bob, "bob")
    expect_log(ann, '{"user":"ann","staff":true}')
    expect_log(bob, '{"user":"bob","staff":false}')
    for page, may in ((ann, True), (bob, False)):
        expect_in_staff_room(page, False)
        page.get_by_test_id("join-staff").click()
        if not may:
            expect_log(page, "you may not join this room")
        expect_in_staff_room(page, may)
    bob.get_by_test_id("tell-text").fill("from bob")
    bob.get_by_test_id("tell").click()
    expect_log(ann, "bob  from bob")
    expect(bob.get_by_test_id("log").get_by_text("told", exact=True)).to_have_count(0)
    ann.get_by_test_id("leave-staff").click()
    expect_in_staff_room(ann, False)


def expect_gone(page: Page) -> None:
    """Wait until the page shows that nobody is logged in on it, and is still connected."""
    expect_account(page, "let go")
    expect(page.get_by_test_id("gone")).to_be_visible()
    expect_in_staff_room(page, False)
    for name in ("whoami", "join-staff", "tell"):
        expect(page.get_by_test_id(name)).to_be_disabled()
    expect(page.get_by_test_id("state")).to_have_text("connected")


def join(page: Page, name: str) -> None:
    """Put one of the staff into the room."""
    expect_account(page, f"{name}, staff")
    page.get_by_test_id("join-staff").click()
    expect_in_staff_room(page, True)


def change(page: Page, server: LiveServer, name: str, field: str) -> None:
    """Take something away from a user, in the admin."""
    page.goto(f"{server.url}/admin/auth/user/?q={name}")
    page.locator(".field-username a").first.click()
    page.get_by_label(field, exact=True).uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")


def test_who_logs_out_in_another_tab(enter: Enter, server: LiveServer) -> None:
    first = enter("ann")
    join(first, "ann")
    stays = enter("cleo")
    join(stays, "cleo")
    second = first.context.new_page()
    second.goto(server.url)
    join(second, "ann")
    second.get_by_test_id("logout").click()
    expect(second.get_by_role("heading", name="Logged out")).to_be_visible()
    expect_gone(first)
    expect_log(first, "you are not logged in any more")
    stays.get_by_test_id("tell").click()
    expect_log(stays, "cleo  Hello, staff")
    expect(first.get_by_test_id("log")).not_to_contain_text("cleo  Hello, staff")
    expect_in_staff_room(stays, True)
    # And in again.
    first.get_by_test_id("gone").get_by_role("link").click()
    log_in(first, "ann")
    join(first, "ann")


def test_what_the_admin_takes_away(enter: Enter, server: LiveServer) -> None:
    dan, eve, root = enter("dan"), enter("eve"), enter("root")
    join(dan, "dan")
    join(eve, "eve")
    change(root, server, "dan", "Staff status")
    expect_account(dan, "dan")
    expect_in_staff_room(dan, False)
    expect_log(dan, '{"user":"dan","staff":false,"rooms":[]}')
    eve.get_by_test_id("tell").click()
    expect_log(eve, "eve  Hello, staff")
    dan.get_by_test_id("join-staff").click()
    expect_log(dan, "you may not join this room")
    expect(dan.get_by_test_id("log")).not_to_contain_text("eve  Hello, staff")
    for page, name in ((eve, "eve"), (dan, "dan")):
        change(root, server, name, "Active")
        expect_gone(page)


def test_the_forms_need_their_token(server: LiveServer) -> None:
    for path in ("/login/", "/logout/"):
        answer = server.post(path, data={"username": "ann", "password": PASSWORD})
        assert answer.status_code == 403
        assert "CSRF" in answer.text
    assert server.get("/logout/").status_code == 405


def test_nothing_is_wider_than_the_window(enter: Enter, server: LiveServer) -> None:
    page = enter("ann")
    expect_account(page, "ann, staff")
    for path in ("/", "/login/"):
        page.goto(f"{server.url}{path}")
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_function("width => innerWidth === width", arg=width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(server.url)
    page.get_by_test_id("logout").click()
    expect(page.get_by_role("heading", name="Logged out")).to_be_visible()
    page.get_by_role("link", name="To the demo").click()
    expect(page.get_by_test_id("login")).to_be_visible()
