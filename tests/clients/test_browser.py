"""The demo page and the app's own browser client, in a real Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.live import LiveServer

OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DEADLINE = 15_000

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this module."""
    path = shutil.which("chromium")
    assert path, "these tests need Debian's chromium (apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=OPTIONS)
        yield browser
        browser.close()


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
        expect(page.get_by_test_id("state")).to_have_text("connected", timeout=DEADLINE)
        if transport:
            expect(page.get_by_test_id("transport")).to_have_text(transport, timeout=DEADLINE)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.errors == []  # type: ignore[attr-defined]
        context.close()


def expect_log(page: Page, text: str) -> None:
    """Wait until the page's log shows a text."""
    expect(page.get_by_test_id("log")).to_contain_text(text, timeout=DEADLINE)


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


def test_page_connects_and_moves_to_websocket(open_page: Open) -> None:
    page = open_page(transport="websocket")
    expect_log(page, "I'm server")
    assert len(sid_of(page)) > 20


def test_page_shows_its_server(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    expect(page.get_by_test_id("server")).to_have_text(f":{server.port}")
    title = page.get_by_test_id("server").get_attribute("title")
    assert title == f"{sid_of(page)[:6]} at 127.0.0.1:{server.port}"


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


def test_clients_are_counted_live(open_page: Open, browser: Browser) -> None:
    page = open_page()
    expect(page.get_by_test_id("count")).to_have_text(re.compile(r"\d+"), timeout=DEADLINE)
    before = int(page.get_by_test_id("count").inner_text())
    open_page()
    expect(page.get_by_test_id("count")).to_have_text(str(before + 1), timeout=DEADLINE)


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
        expect(page.get_by_test_id("state")).not_to_have_text("connected", timeout=DEADLINE)
        restarting.start()
        expect(page.get_by_test_id("state")).to_have_text("connected", timeout=30_000)
        assert sid_of(page) != first
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


def test_websocket_first_falls_back_to_polling(open_page: Open) -> None:
    page = open_page(script="window.WebSocket = undefined")
    assert run(
        page,
        """
        const socket = await fresh({ transports: ["websocket", "polling"] });
        const echo = await socket.emitWithAck("echo", "hello");
        return [socket.io.engine.transport.name, echo];
        """,
    ) == ["polling", "hello"]


def test_ask_me(open_page: Open) -> None:
    page = open_page()
    page.get_by_test_id("ask").click()
    expect_log(page, "ready?")
    expect_log(page, "ask me")
    expect_log(page, "yes")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_echo_of_text_and_binary(open_page: Open, transport: str) -> None:
    page = open_page()
    assert run(
        page,
        """
        const socket = await fresh({ transports: [argument] });
        const bytes = new Uint8Array([0, 1, 255]);
        const nested = { deep: [bytes, { blob: new Blob(["ab"]) }] };
        const sent = ["текст 🎉", nested, new ArrayBuffer(0), null];
        const [text, { deep }, empty, nothing] = await new Promise((resolve) => {
          socket.emit("echo", ...sent, (...echo) => resolve(echo));
        });
        socket.disconnect();
        const list = (buffer) => [...new Uint8Array(buffer)];
        return [text, list(deep[0]), list(deep[1].blob), empty.byteLength, nothing];
        """,
        transport,
    ) == ["текст 🎉", [0, 1, 255], [97, 98], 0, None]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_many_events_at_once_keep_their_order(open_page: Open, transport: str) -> None:
    page = open_page()
    assert run(
        page,
        """
        const socket = await fresh({ transports: [argument] });
        const numbers = Array.from({ length: 500 }, (_, number) => number);
        const answers = await Promise.all(numbers.map((n) => socket.emitWithAck("echo", n)));
        socket.disconnect();
        return answers.every((answer, number) => answer === number);
        """,
        transport,
    )


def test_events_wait_for_the_connection(open_page: Open) -> None:
    page = open_page()
    assert (
        run(
            page,
            """
        const socket = io({ forceNew: true, autoConnect: false });
        const answer = socket.emitWithAck("echo", "early");
        socket.volatile.emit("message", "never sent");
        socket.connect();
        return answer;
        """,
        )
        == "early"
    )


def test_timeout_and_disconnect_fail_an_acknowledgement(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        const socket = await fresh({}, "/users");
        const offline = io({ forceNew: true, autoConnect: false });
        const late = await new Promise((resolve) => {
          offline.timeout(50).emit("echo", 1, (error) => resolve(error.message));
        });
        const lost = fresh({}).then((home) => {
          const promise = home.timeout(5000).emitWithAck("ask me").catch((error) => error.message);
          home.disconnect();
          return promise;
        });
        socket.disconnect();
        return [late, await lost, socket.connected, socket.active];
        """,
    ) == ["operation has timed out", "socket has been disconnected", False, False]


def test_unknown_namespace_is_refused_and_the_connection_lives_on(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        const refused = io("/nowhere");
        const error = await new Promise((resolve) => refused.on("connect_error", resolve));
        const echo = await sockets.get("/").emitWithAck("echo", "alive");
        return [error.message, refused.active, echo, refused.io === sockets.get("/").io];
        """,
    ) == ["Invalid namespace", False, "alive", True]


def test_disconnect_reaches_the_server_over_polling(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    sid = run(
        page,
        """
        const socket = await fresh({ transports: ["polling"] });
        const sid = socket.id;
        socket.disconnect();
        return sid;
        """,
    )
    server.wait_log(rf'disconnect namespace=/ sid={sid} .*reason="client namespace disconnect"')


def test_closed_tab_is_noticed_at_once(browser: Browser, server: LiveServer) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    expect(page.get_by_test_id("transport")).to_have_text("websocket", timeout=DEADLINE)
    sid = sid_of(page)
    context.close()
    server.wait_log(rf"disconnect namespace=/ sid={sid}")


def test_throwing_listener_harms_no_other(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        window.reportError = () => {};
        const socket = await fresh({});
        socket.on("message", () => { throw new Error("a fault of the page"); });
        const message = heard(socket, "message");
        socket.emit("broadcast", "still heard");
        return message;
        """,
    ) == ["still heard"]
