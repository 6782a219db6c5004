"""The app's own browser client."""

from __future__ import annotations

import pytest

from tests.clients.browser.conftest import Open, run
from tests.live import LiveServer


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


def test_throwing_listener_harms_no_other(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        window.reportError = () => {};
        const socket = await fresh({});
        await socket.emitWithAck("join", "faults");
        socket.on("said", () => { throw new Error("a fault of the page"); });
        const said = heard(socket, "said");
        socket.emit("say", "faults", "still heard");
        return said;
        """,
    ) == ["still heard"]


def test_send_is_a_message(open_page: Open, server: LiveServer) -> None:
    page = open_page()
    run(page, "(await fresh({})).send('sent as', 'a message')")
    server.wait_log(r"message sid=\S+ args=\('sent as', 'a message'\)")


def test_listeners_come_and_go(open_page: Open) -> None:
    page = open_page()
    assert run(
        page,
        """
        const socket = await fresh({});
        const got = [];
        const first = (text) => got.push(`first ${text}`);
        const second = (text) => got.push(`second ${text}`);
        const any = (name, text) => name === "said" && got.push(`any ${text}`);
        const say = (text) => socket.emitWithAck("say", "listeners", text);
        await socket.emitWithAck("join", "listeners");
        socket.on("said", first).once("said", second).onAny(any);
        await say("1");
        await say("2");
        socket.removeListener("said", first).offAny(any);
        await say("3");
        const some = socket.hasListeners("said");
        socket.on("said", first).removeAllListeners("said");
        await say("4");
        return [got, some, socket.hasListeners("said")];
        """,
    ) == [["any 1", "first 1", "second 1", "any 2", "first 2"], False, False]
