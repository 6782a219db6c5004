"""The demo page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.clients.browser.conftest import Open, expect_log, run, sid_of
from tests.live import LiveServer


def test_page_connects_and_moves_to_websocket(open_page: Open) -> None:
    page = open_page(transport="websocket")
    expect_log(page, "I'm server")
    assert len(sid_of(page)) > 20


def test_page_shows_its_server(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    expect(page.get_by_test_id("server")).to_have_text(f":{server.port}")
    title = page.get_by_test_id("server").get_attribute("title")
    assert title == f"process {server.pid} at 127.0.0.1:{server.port}"


def test_button_reaches_the_server(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    page.get_by_test_id("message").fill("from a button")
    page.get_by_role("button", name="Send message to server").click()
    server.wait_log(rf"message sid={sid_of(page)} .*from a button")


def test_private_message_of_the_http_view(open_page: Open, server: LiveServer) -> None:
    page, other = open_page(), open_page()
    sid = sid_of(page)
    assert server.post(f"/client/{sid}").json() == {
        "message": f"Message was sent to client with id {sid}"
    }
    expect_log(page, f"Message to client with id {sid}")
    expect(other.get_by_test_id("log")).not_to_contain_text("private message")


def test_one_client_writes_to_another_by_its_id(open_page: Open) -> None:
    page, other = open_page(), open_page()
    page.get_by_test_id("client-id").fill(sid_of(other))
    page.get_by_test_id("send-to-client").click()
    expect_log(other, f"Message to client with id {sid_of(other)}")
    page.get_by_test_id("client-id").fill("nobody")
    page.get_by_test_id("send-to-client").click()
    expect(page.get_by_test_id("client-answer")).to_have_text("404: Client not found")


def test_messages_go_to_the_console(open_page: Open) -> None:
    page = open_page()
    page.get_by_test_id("message").fill("for the console")
    with page.expect_console_message(lambda message: "for the console" in message.text):
        page.get_by_test_id("broadcast").click()


def test_two_tabs_see_each_others_room_messages(open_page: Open) -> None:
    pages = [open_page(), open_page()]
    outsider = open_page()
    for page in pages:
        page.get_by_test_id("room").fill("Зал 42")
        page.get_by_test_id("join").click()
        expect(page.get_by_test_id("rooms")).to_contain_text("Зал 42")
    for number, page in enumerate(pages):
        page.get_by_test_id("say-text").fill(f"words of {number}")
        page.get_by_test_id("say").click()
        for listener in pages:
            expect_log(listener, f"words of {number}")
    expect(outsider.get_by_test_id("log")).not_to_contain_text("words of")


def test_clients_are_counted_live(open_page: Open) -> None:
    """On a server of its own: clients of the tests before may still be leaving the other."""
    with LiveServer("daphne", settings="project.settings") as own:
        page = open_page(own)
        expect(page.get_by_test_id("count")).to_have_text("1")
        other = open_page(own)
        expect(page.get_by_test_id("count")).to_have_text("2")
        other.goto("about:blank")
        expect(page.get_by_test_id("count")).to_have_text("1")


def test_namespaces_share_the_connection(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    page.get_by_test_id("namespace").select_option("/users")
    expect_log(page, "/users")
    expect(page.get_by_test_id("state")).to_have_text("connected")
    server.wait_log(rf"connect namespace=/users sid={sid_of(page)}")
    page.get_by_test_id("message").fill("only for users")
    page.get_by_test_id("send").click()
    server.wait_log(r"message namespace=/users .*only for users")
    assert run(page, "return sockets.get('/').io === sockets.get('/users').io")


def test_page_comes_back_after_the_server_restarts(open_page: Open) -> None:
    with LiveServer("daphne", settings="project.settings") as restarting:
        page = open_page(restarting, transport="websocket")
        first = sid_of(page)
        restarting.stop()
        expect(page.get_by_test_id("state")).not_to_have_text("connected")
        restarting.start()
        expect(page.get_by_test_id("state")).to_have_text("connected", timeout=30_000)
        assert sid_of(page) != first
        expect(page.get_by_test_id("recovery")).to_have_text("new")
        expect_log(page, "lost")
        page.get_by_test_id("message").fill("here again")
        page.get_by_test_id("send").click()
        restarting.wait_log("here again")


@pytest.mark.parametrize(
    "script",
    [
        "window.WebSocket = class { constructor() { queueMicrotask(() => this.onclose()); } };",
        "window.WebSocket = undefined",
        "window.WebSocket = class { close() {} }",
    ],
    ids=["refused", "missing", "silent"],
)
def test_page_stays_on_polling_where_websocket_is_blocked(open_page: Open, script: str) -> None:
    page = open_page(script=script, transport="polling")
    page.get_by_test_id("say-text").fill("over polling")
    page.get_by_test_id("say").click()
    expect_log(page, "over polling")


def test_ask_me(open_page: Open) -> None:
    page = open_page()
    page.get_by_test_id("ask").click()
    expect_log(page, "ready?")
    expect_log(page, "ask me")
    expect_log(page, "yes")


def test_closed_tab_is_noticed_at_once(browser: Browser, server: LiveServer) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    expect(page.get_by_test_id("transport")).to_have_text("websocket")
    sid = sid_of(page)
    context.close()
    server.wait_log(rf"disconnect namespace=/ sid={sid}")


def test_a_click_on_a_room_chooses_it(open_page: Open) -> None:
    page = open_page()
    page.get_by_test_id("room").fill("Зал 42")
    page.get_by_test_id("join").click()
    page.get_by_role("button", name="Room №1").click()
    expect(page.get_by_test_id("room")).to_have_value("Room №1")


def test_other_namespaces_offer_only_what_they_can(open_page: Open) -> None:
    page = open_page()
    for namespace in ("/orders", "/"):
        page.get_by_test_id("namespace").select_option(namespace)
        for control in ("room", "join", "say", "tell-numbers", "echo", "ask", "broadcast"):
            expect(page.get_by_test_id(control)).to_be_enabled(enabled=namespace == "/")
        expect(page.get_by_test_id("send")).to_be_enabled()


def test_the_page_tells_how_to_write_to_it(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    command = page.get_by_test_id("curl").inner_text()
    assert command == f"curl -X POST {server.url}/client/{sid_of(page)}"
    server.post(command.rpartition(server.url)[2])
    expect_log(page, f"Message to client with id {sid_of(page)}")


def test_nothing_is_wider_than_the_window(open_page: Open) -> None:
    page = open_page()
    expect_log(page, "I'm server")
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("width => innerWidth === width", arg=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
