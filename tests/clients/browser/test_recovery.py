"""Recovery in our browser client, with a server that says what the test wants, and with ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.browser.conftest import Open, run, sid_of
from tests.live import KINDS, LiveServer

# In the place of the browser's WebSocket: each connection is a server, which tells what it hears
# and says what it is told to. It is new when it has heard the client's first CONNECT: `asked`.
SCRIPTED = """
    const queue = () => {
      const things = [], waiting = [];
      return {
        put: (thing) => (waiting.length ? waiting.shift()(thing) : things.push(thing)),
        get: async () => (things.length ? things.shift() : new Promise((put) => waiting.push(put))),
      };
    };
    const servers = queue();
    class ScriptedServer {
      #heard = queue();
      constructor() {
        setTimeout(() => {
          this.onopen();
          const handshake = { sid: "engine", upgrades: [], pingInterval, pingTimeout: 0 };
          this.onmessage({ data: `0${JSON.stringify(handshake)}` });
        });
      }
      send(frame) {
        const packet = typeof frame === "string" ? frame.slice(1) : frame;
        if (this.asked) {
          this.#heard.put(packet);
          return;
        }
        this.asked = packet;
        servers.put(this);
      }
      close() {
        setTimeout(() => this.onclose());
      }
      hears() {
        return this.#heard.get();
      }
      says(...packets) {
        for (const packet of packets) {
          this.onmessage({ data: typeof packet === "string" ? `4${packet}` : packet.buffer });
        }
      }
      drops() {
        this.onclose();
      }
    }
    const pingInterval = 600000;
    const newServer = () => servers.get();
    const original = window.WebSocket;
    window.WebSocket = ScriptedServer;
    const log = [];
    const client = (options) => {
      const socket = io({
        forceNew: true, transports: ["websocket"], reconnectionDelay: 0, ...options,
      });
      for (const name of ["connect", "disconnect"]) {
        socket.on(name, () => log.push(name === "connect" ? [name, socket.recovered] : [name]));
      }
      const show = (value) => {
        if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
        return typeof value === "function" ? "function" : value;
      };
      socket.onAny((name, ...args) => log.push([name, ...args.map(show)]));
      return socket;
    };
    try {
"""
RESTORED = "} finally { window.WebSocket = original; }"


def play(open_page: Open, script: str, argument: Any = None) -> Any:
    """Return what a script returns that has `client(options)`, `newServer()` and `log`."""
    page = open_page(transport="websocket")  # it keeps its own connection
    return run(page, SCRIPTED + script + RESTORED, argument)


def test_it_comes_back_with_what_the_server_gave_it(open_page: Open) -> None:
    assert play(
        open_page,
        """
        const socket = client({});
        let server = await newServer();
        const asked = [server.asked];
        server.says('0{"sid":"s","pid":"p"}', '2["a",1,"id-1"]', '2["b","text","id-2"]');
        const before = socket.id;
        server.drops();
        const away = socket.id;
        server = await newServer();
        asked.push(server.asked);
        server.says('2["missed","text","id-3"]',
          '51-["bytes",{"_placeholder":true,"num":0},"id-4"]', new Uint8Array([1, 2]),
          '0{"sid":"s","pid":"p"}', '2["live",2,"id-5"]');
        server.drops();
        asked.push((await newServer()).asked);
        return { asked, log, before, away, told: Object.values(socket).includes("p") };
        """,
    ) == {
        "asked": [
            "0",
            '0{"pid":"p","offset":"id-2"}',
            '0{"pid":"p","offset":"id-5"}',
        ],
        "log": [
            ["connect", False],
            ["a", 1],
            ["b", "text"],
            ["disconnect"],
            ["missed", "text"],
            ["bytes", [1, 2]],
            ["connect", True],
            ["live", 2],
            ["disconnect"],
        ],
        "before": "s",
        "away": None,
        "told": False,
    }


def test_a_client_without_an_event_comes_back_too(open_page: Open) -> None:
    assert (
        play(
            open_page,
            """
        client({});
        const server = await newServer();
        server.says('0{"sid":"s","pid":"p"}');
        server.drops();
        return (await newServer()).asked;
        """,
        )
        == '0{"pid":"p"}'
    )


def test_a_drop_during_the_replay_doubles_nothing(open_page: Open) -> None:
    assert play(
        open_page,
        """
        client({});
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]');
        server.drops();
        server = await newServer();
        server.says('2["b","id-2"]', '2["c","id-3"]');
        server.drops();
        server = await newServer();
        const asked = server.asked;
        server.says('2["b","id-4"]', '2["c","id-5"]', '0{"sid":"s","pid":"p"}');
        return [asked, log];
        """,
    ) == [
        '0{"pid":"p","offset":"id-1"}',
        [["connect", False], ["a"], ["disconnect"], ["b"], ["c"], ["connect", True]],
    ]


def test_missed_events_that_come_after_the_answer_are_as_good(open_page: Open) -> None:
    assert play(
        open_page,
        """
        client({});
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]');
        server.drops();
        server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["b","id-2"]');
        server.drops();
        return [(await newServer()).asked, log.slice(-3)];
        """,
    ) == ['0{"pid":"p","offset":"id-2"}', [["connect", True], ["b"], ["disconnect"]]]


def test_who_is_not_recovered_starts_anew(open_page: Open) -> None:
    """The old offset says nothing about the new session."""
    assert play(
        open_page,
        """
        client({});
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]');
        server.drops();
        server = await newServer();
        server.says('0{"sid":"t","pid":"q"}');
        server.drops();
        server = await newServer();
        const asked = server.asked;
        server.says('0{"sid":"u"}', '2["b","no offset"]');
        server.drops();
        return [asked, (await newServer()).asked, log];
        """,
    ) == [
        '0{"pid":"q"}',
        "0",
        [
            ["connect", False],
            ["a"],
            ["disconnect"],
            ["connect", False],
            ["disconnect"],
            ["connect", False],
            ["b", "no offset"],
            ["disconnect"],
        ],
    ]


@pytest.mark.parametrize(
    ("auth", "asked"),
    [
        ("{ token: 1 }", '0{"pid":"p","offset":"id-1","token":1}'),
        ("(callback) => callback({ token: 2 })", '0{"pid":"p","offset":"id-1","token":2}'),
        ("{ pid: 'mine', offset: '' }", '0{"pid":"mine","offset":""}'),
    ],
)
def test_auth_goes_with_it_and_wins(open_page: Open, auth: str, asked: str) -> None:
    assert (
        play(
            open_page,
            f"""
        client({{ auth: {auth} }});
        const server = await newServer();
        server.says('0{{"sid":"s","pid":"p"}}', '2["a","id-1"]');
        server.drops();
        return (await newServer()).asked;
        """,
        )
        == asked
    )


def test_what_has_no_offset_leaves_the_last_one(open_page: Open) -> None:
    """An event without arguments, one that asks for an answer, one that ends in no text."""
    assert play(
        open_page,
        """
        client({}).on("question", (text, answer) => answer("yes"));
        const server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]', '2["bare"]', '27["question","text"]',
          '2["odd",{"text":1}]');
        const answer = await server.hears();
        server.drops();
        return [answer, (await newServer()).asked, log];
        """,
    ) == [
        '37["yes"]',
        '0{"pid":"p","offset":"id-1"}',
        [
            ["connect", False],
            ["a"],
            ["bare"],
            ["question", "text", "function"],
            ["odd", {"text": 1}],
            ["disconnect"],
        ],
    ]


def test_an_event_is_handled_before_its_offset_counts(open_page: Open) -> None:
    """A listener that throws harms neither it nor the next event."""
    assert play(
        open_page,
        """
        window.reportError = () => {};
        const socket = client({});
        socket.on("a", () => { throw new Error("a fault of the page"); });
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}');
        server.drops();
        server = await newServer();
        server.says('2["a","id-1"]', '2["b","id-2"]', '0{"sid":"s","pid":"p"}');
        server.drops();
        return [(await newServer()).asked, log.slice(2)];
        """,
    ) == ['0{"pid":"p","offset":"id-2"}', [["a"], ["b"], ["connect", True], ["disconnect"]]]


def test_what_is_sent_while_away_follows_in_order(open_page: Open) -> None:
    """Before what listeners of missed events and of "connect" send."""
    assert play(
        open_page,
        """
        const socket = client({});
        socket.on("missed", () => socket.emit("by missed"));
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}');
        const lost = socket.emitWithAck("sent before").catch((error) => error.message);
        await server.hears();
        socket.once("disconnect", () => socket.emit("by disconnect"));
        server.drops();
        socket.emit("one").emit("two", new Uint8Array([3]));
        socket.volatile.emit("dropped");
        const answer = socket.emitWithAck("three");
        socket.once("connect", () => socket.emit("by connect"));
        server = await newServer();
        socket.emit("four");
        server.says('2["missed","id-1"]', '0{"sid":"s","pid":"p"}');
        const heard = [];
        while (heard.length < 8) heard.push(await server.hears());
        const id = /^2(\\d+)\\["three"/.exec(heard[4])[1];
        server.says(`3${id}["answer"]`);
        const withoutId = (one) => typeof one === "string" ? one.replace(/^2\\d/, "2") : [...one];
        return [heard.map(withoutId), await lost, await answer];
        """,
    ) == [
        [
            '2["by disconnect"]',
            '2["one"]',
            '51-["two",{"_placeholder":true,"num":0}]',
            [3],
            '2["three"]',
            '2["four"]',
            '2["by missed"]',
            '2["by connect"]',
        ],
        "socket has been disconnected",
        "answer",
    ]


def test_who_slept_holds_what_it_sends(open_page: Open) -> None:
    """The clock tells that the server is gone, before the timers of a page that slept do."""
    assert play(
        open_page,
        """
        const socket = client({});
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}');
        const now = Date.now;
        const reason = heard(socket, "disconnect");
        Date.now = () => now() + pingInterval + 1000;
        const answer = socket.emit("one").emitWithAck("two");
        socket.volatile.emit("dropped");
        Date.now = now;
        const connected = socket.connected;
        const reasons = await reason;
        server = await newServer();
        server.says('0{"sid":"s","pid":"p"}');
        const heardThen = [await server.hears(), await server.hears()];
        server.says('30["yes"]');
        return [connected, reasons, heardThen, await answer];
        """,
    ) == [True, ["ping timeout"], ['2["one"]', '20["two"]'], "yes"]


def test_a_listener_of_a_missed_event_may_leave(open_page: Open) -> None:
    assert play(
        open_page,
        """
        const socket = client({});
        socket.on("b", () => socket.disconnect());
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]');
        server.drops();
        server = await newServer();
        server.says('2["b","id-2"]', '2["c","id-3"]', '0{"sid":"s","pid":"p"}');
        return [await server.hears(), log.slice(2)];
        """,
    ) == ["1", [["disconnect"], ["b"], ["disconnect"]]]


def test_what_was_missed_is_not_for_who_is_refused(open_page: Open) -> None:
    assert play(
        open_page,
        """
        const socket = client({});
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '2["a","id-1"]');
        server.drops();
        server = await newServer();
        server.says('2["b","id-2"]', '44{"message":"not now"}');
        socket.connect();
        server = await newServer();
        const asked = server.asked;
        server.says('2["b","id-3"]', '0{"sid":"s","pid":"p"}');
        return [asked, log.slice(3)];
        """,
    ) == ['0{"pid":"p","offset":"id-1"}', [["b"], ["connect", True]]]


def test_each_namespace_recovers_by_itself(open_page: Open) -> None:
    assert play(
        open_page,
        """
        const socket = client({});
        const other = socket.io.socket("/b").connect();
        let server = await newServer();
        server.says('0{"sid":"s","pid":"p"}', '0/b,{"sid":"t","pid":"q"}', '2["a","id-1"]',
          '2/b,["b","id-2"]');
        server.drops();
        server = await newServer();
        const asked = [server.asked, await server.hears()];
        server.says('0{"sid":"s","pid":"p"}', '0/b,{"sid":"t2","pid":"q2"}');
        return [asked, socket.recovered, other.recovered];
        """,
    ) == [
        ['0{"pid":"p","offset":"id-1"}', '0/b,{"pid":"q","offset":"id-2"}'],
        True,
        False,
    ]


@pytest.fixture(scope="module", params=KINDS)
def real(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """The demo under each server."""
    with LiveServer(request.param, settings="project.settings") as server:
        yield server


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
def test_four_drops_in_a_row(open_page: Open, real: LiveServer, transports: list[str]) -> None:
    """It gets what it missed in order and once, and what it said meanwhile is said."""
    page = open_page(real)
    done = run(
        page,
        """
        const options = { forceNew: true, transports: argument, reconnection: false };
        const socket = await connected(io("/", options));
        const other = await connected(io("/", { forceNew: true, transports: ["websocket"] }));
        const { id } = socket;
        const room = `room of ${id}`;
        await socket.emitWithAck("join", room);
        const log = [];
        const waiting = new Map();
        const said = (text) => new Promise((resolve) => waiting.set(text, resolve));
        socket.on("said", (...args) => {
          log.push(args);
          waiting.get(args[0])?.();
        });
        socket.on("connect", () => log.push([socket.recovered, socket.id === id]));
        for (let drop = 1; drop <= 4; drop += 1) {
          const gone = heard(socket, "disconnect");
          socket.io.engine.close();
          await gone;
          socket.emit("say", room, `held ${drop}`);
          await other.emitWithAck("say", room, `missed ${drop}`);
          await other.emitWithAck("say", room, `missed ${drop}, too`);
          const held = said(`held ${drop}`);
          socket.connect();
          await held;
          const live = said(`live ${drop}`);
          other.emit("say", room, `live ${drop}`);
          await live;
        }
        socket.disconnect();
        other.disconnect();
        return log;
        """,
        transports,
    )
    assert done == [
        entry
        for drop in range(1, 5)
        for entry in (
            [True, True],
            [f"missed {drop}"],
            [f"missed {drop}, too"],
            [f"held {drop}"],
            [f"live {drop}"],
        )
    ]


def test_a_page_that_goes_says_goodbye(open_page: Open, real: LiveServer) -> None:
    """All namespaces do; nobody is to wait for it."""
    page = open_page(real, transport="websocket")
    ids = run(
        page,
        """
        const socket = await fresh({ transports: ["websocket"] });
        const users = await connected(socket.io.socket("/users").connect());
        return [socket.id, users.id];
        """,
    )
    page.goto("about:blank")
    for sid in ids:
        real.wait_log(
            rf'disconnect namespace=/\w* sid={sid} .*reason="client namespace disconnect"'
        )


def test_a_page_that_may_be_shown_again_does_not(open_page: Open, real: LiveServer) -> None:
    page = open_page(real, transport="websocket")
    assert run(
        page,
        """
        const socket = await fresh({});
        const { id } = socket;
        window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
        const away = socket.connected;
        await heard(socket, "connect");
        return [away, socket.id === id, socket.recovered];
        """,
    ) == [False, True, True]


def test_without_recovery_a_page_that_goes_only_goes(open_page: Open) -> None:
    with LiveServer("daphne", settings="project.settings", env={"RECOVERY": "0"}) as server:
        page = open_page(server, transport="websocket")
        sid = sid_of(page)
        page.goto("about:blank")
        server.wait_log(rf'disconnect namespace=/ sid={sid} .*reason="transport close"')
