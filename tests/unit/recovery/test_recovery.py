"""A client that drops and comes back to the same process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import realtime
from realtime import ConnectionRefused, NamespaceConsumer, event
from realtime.cluster.peers import BEAT
from realtime.hub.hub import Hub
from realtime.testing import Client, TestSession
from realtime.webservers.writers import HIGH_WATER
from tests.unit.conftest import Connect, Serve
from tests.unit.probes import Probe, Wire

RECOVERY = {"SECONDS": 60}
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


class Rooms(NamespaceConsumer):
    """A namespace whose clients say where they want to be."""

    async def connect(self, auth: dict[str, Any]) -> None:
        if auth.get("refused"):
            raise ConnectionRefused("no")
        if not self.recovered:
            self.join(*auth.get("rooms", ()))

    @event
    async def enter(self, *rooms: str) -> list[str]:
        self.join(*rooms)
        return sorted(self.rooms)

    @event
    async def quit(self, *rooms: str) -> list[str]:
        self.leave(*rooms)
        return sorted(self.rooms)

    @event
    async def keep(self, name: str, value: Any) -> dict[str, Any]:
        self.data[name] = value
        return dict(self.data)

    @event
    async def state(self) -> dict[str, Any]:
        return {
            "recovered": self.recovered,
            "lost": self.lost,
            "rooms": sorted(self.rooms),
            "data": dict(self.data),
        }

    @event
    async def to_others(self, room: str, text: str) -> None:
        self.to(room).emit("said", text)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def log(request: pytest.FixtureRequest) -> str:
    """Where the log is: in the hub's memory, and in a real Valkey."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _served(
    serve: Serve,
    log: str,
    settings: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if log == "redis":
        monkeypatch.setattr("realtime.cluster.cluster.ARRIVAL", -BEAT)  # no other hub will come
        valkey = request.getfixturevalue("valkey")
        config = {"hosts": [valkey.url], "prefix": secrets.token_hex(4)}
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": PUBSUB, "CONFIG": config}}
    serve(Rooms, RECOVERY={**RECOVERY, "LOG": log})


@contextlib.asynccontextmanager
async def coming_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """
    Let a client come back, with `connect` at work in the block: what happens there ends its new
    connection before it is let in.
    """
    entering, go_on = asyncio.Event(), asyncio.Event()

    async def connect_slowly(self: Rooms, auth: Any) -> None:
        entering.set()
        await go_on.wait()

    with monkeypatch.context() as patch:
        patch.setattr(Rooms, "connect", connect_slowly)
        back = asyncio.ensure_future(client.connect())
        await entering.wait()
        yield
        go_on.set()
        assert client._session is not None
        await client._session.closed.wait()
        back.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await back


async def texts(client: Client, count: int) -> list[Any]:
    """Return the last arguments of the next events."""
    return [(await client.receive())[-1] for _ in range(count)]


class Moving(Rooms):
    """Lets who comes back join and leave rooms."""

    async def connect(self, auth: dict[str, Any]) -> None:
        await super().connect(auth)
        self.join(*auth.get("join", ()))
        self.leave(*auth.get("leave", ()))


async def test_a_drop_behind_rooms_that_connect_has_joined_and_left(
    connect: Connect, serve: Serve
) -> None:
    """What was missed before is for the rooms of before, and what comes behind it for the new."""
    serve(Moving)
    there = await connect(auth={"rooms": ["a", "b"]})
    client = await connect(auth={"rooms": ["a"]})
    realtime.to("a").emit("n", 1)
    assert await texts(client, 1) == [1]
    had = client._offset
    client.drop()
    realtime.to("a").emit("n", 2)
    realtime.to("b").emit("n", "before it joined")
    client._auth = {"join": ["b"], "leave": ["a"]}
    for _ in range(2):
        await client.connect()
        assert client.recovered
        assert await texts(client, 1) == [2]
        client.drop()
        client._offset = had  # as if nothing had come
    realtime.to("b").emit("n", 3)
    realtime.to("a").emit("n", "after it left")
    await client.connect()
    assert await texts(client, 2) == [2, 3]
    assert not client.pending()
    assert there.pending() == 5


async def test_nothing_is_missed(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    sid = client.sid
    realtime.to("a").emit("n", 1)
    assert await texts(client, 1) == [1]
    client.drop()
    realtime.to("a").emit("n", 2)
    realtime.emit("n", 3)
    realtime.to(sid).emit("n", b"4")
    realtime.to("b").emit("n", "for others")
    await client.connect()
    assert (client.recovered, client.sid) == (True, sid)
    realtime.to("a").emit("n", 5)
    assert await texts(client, 4) == [2, 3, b"4", 5]
    state = await client.call("state")
    assert state == {"recovered": True, "lost": False, "rooms": ["a"], "data": {}}
    assert not client.pending()


async def test_who_never_had_an_event_comes_back(connect: Connect) -> None:
    client = await connect()
    client.drop()
    realtime.emit("n", 1)
    await client.connect()
    assert client.recovered
    assert await texts(client, 1) == [1]


async def test_what_did_not_arrive_before_the_drop_comes_after_it(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    realtime.to("a").emit("n", 1)
    assert await texts(client, 1) == [1]
    offset = client._offset
    for number in (2, 3):
        realtime.to("a").emit("n", number)
    assert await texts(client, 2) == [2, 3]
    client._offset = offset  # they were on their way, and never came
    client.drop()
    await client.connect()
    assert await texts(client, 2) == [2, 3]


async def test_ten_drops_in_a_row(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    for number in range(10):
        client.drop()
        realtime.to("a").emit("n", number)
        await client.connect()
        assert client.recovered
    assert await texts(client, 10) == list(range(10))
    assert not client.pending()


async def test_a_drop_in_the_midst_of_what_is_replayed(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    client.drop()
    for number in range(5):
        realtime.to("a").emit("n", number)
    await client.connect()
    assert await texts(client, 2) == [0, 1]
    # The offset of the second, as if the others had not come.
    base = client._offset
    third = hex(int(base[6:], 16) - 3)[2:]
    client._offset = base[:6] + third
    while client.pending():
        await client.receive()
    client.drop()
    realtime.to("a").emit("n", 5)
    await client.connect()
    assert client.recovered
    assert await texts(client, 4) == [2, 3, 4, 5]


async def test_a_pong_says_nothing_of_what_is_replayed_behind_its_ping(
    new_wire: Callable[[], Wire],
) -> None:
    """Its client has asked to come back before the ping was there."""
    away, back, again = new_wire(), new_wire(), new_wire()
    answer = await away.connect(auth=json.dumps({"rooms": ["a"]}))
    pid = json.loads(answer.removeprefix("40"))["pid"]
    away.close()
    realtime.to("a").emit("n", 1)
    back.session.ping()
    assert await back.next() == "2"
    assert await back.connect(auth=json.dumps({"pid": pid})) == answer
    replayed = await back.next()
    assert str(replayed).startswith('42["n",1,')
    back.feed("3", '420["state"]')
    assert str(await back.next()).startswith("430"), "the pong is taken in before that"
    back.close()  # what is replayed was still on its way, and never came
    assert await again.connect(auth=json.dumps({"pid": pid})) == answer
    assert await again.next() == replayed


async def test_a_volatile_event_that_ends_in_a_text_harms_nothing(connect: Connect) -> None:
    client = await connect()
    realtime.emit("n", 1)
    realtime.of("/").volatile().emit("typing", "somebody")
    assert await client.receive() == ("n", 1)
    assert await client.receive() == ("typing", "somebody")
    client.drop()
    realtime.of("/").volatile().emit("typing", "missed")
    realtime.emit("n", 2)
    await client.connect()
    assert await texts(client, 1) == [2]
    assert not client.pending()


async def test_who_was_excluded_is_so_later(connect: Connect) -> None:
    client, other = await connect(auth={"rooms": ["a", "c"]}), await connect(auth={"rooms": ["a"]})
    client.drop()
    realtime.to("a").excluding(client.sid).emit("n", 1)
    realtime.to("a").excluding("c").emit("n", 2)
    realtime.to("a", "c").emit("n", 3)
    assert await texts(other, 3) == [1, 2, 3]
    await client.connect()
    assert await texts(client, 1) == [3]
    await client.call("to_others", "a", "not to itself")
    assert (await other.receive())[-1] == "not to itself"
    client.drop()
    await client.connect()
    assert client.recovered
    assert not client.pending()


async def test_joins_and_leaves_just_before_the_drop_count(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    realtime.to("b").emit("n", "before the join")
    await client.call("enter", "b")
    realtime.to("b").emit("n", 1)
    await client.call("quit", "a")
    realtime.to("a").emit("n", "after the leave")
    assert await texts(client, 1) == [1]
    client._offset = ""  # as if that had not arrived
    client.drop()
    realtime.to("b").emit("n", 2)
    await client.connect()
    assert await texts(client, 2) == [1, 2]
    assert (await client.call("state"))["rooms"] == ["b"]


async def test_an_event_to_a_room_that_was_left_before_the_drop_is_not_lost(
    connect: Connect,
) -> None:
    client = await connect(auth={"rooms": ["a"]})
    realtime.to("a").emit("n", 1)
    await client.call("quit", "a")
    await texts(client, 1)
    client._offset = ""
    client.drop()
    await client.connect()
    assert await texts(client, 1) == [1]


async def test_commands_reach_who_is_away(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a", "b"]})
    client.drop()
    realtime.to(client.sid).join("c")
    realtime.to("a").leave("b")
    realtime.to("c").emit("n", 1)
    realtime.to("b").emit("n", "no more")
    await client.connect()
    assert await texts(client, 1) == [1]
    assert (await client.call("state"))["rooms"] == ["a", "c"]


async def test_who_is_disconnected_while_away_is_a_new_client(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    sid = client.sid
    client.drop()
    realtime.to("a").close()
    await client.connect()
    assert not client.recovered
    assert client.sid != sid
    assert (await client.call("state"))["lost"] is True


async def test_who_says_goodbye_is_a_new_client(connect: Connect) -> None:
    client = await connect()
    client._session.sockets["/"].disconnect("client namespace disconnect")  # type: ignore[union-attr]
    client.drop()
    await client.connect()
    assert not client.recovered


async def test_a_connection_that_nobody_has_noticed_is_taken_over(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    stale = client._session
    realtime.to("a").emit("n", 1)
    assert await texts(client, 1) == [1]
    await client.connect()
    assert client.recovered
    assert stale is not None
    assert stale.closed.happened
    realtime.to("a").emit("n", 2)
    assert await texts(client, 1) == [2]


async def test_data_is_kept(connect: Connect) -> None:
    client = await connect()
    assert await client.call("keep", "cart", {"7": [1, 2.5, None, True, "é"]})
    client.drop()
    await client.connect()
    state = await client.call("state")
    assert state["data"] == {"cart": {"7": [1, 2.5, None, True, "é"]}}


async def test_connect_may_refuse_who_comes_back(connect: Connect, hub: Hub) -> None:
    client = await connect(auth={"rooms": ["a"]})
    client.drop()
    realtime.to("a").emit("n", "secret")
    client._auth = {"refused": True}
    with pytest.raises(ConnectionRefused):
        await client.connect()
    assert not client.pending()
    assert hub.stats()["away"] == 0
    client._auth = {}
    await client.connect()
    assert not client.recovered


@pytest.mark.parametrize("offset", ["garbage!", 5, ["x"], "x" * 10_000, "~ABCDEF0"])
async def test_an_offset_that_is_none_is_told(connect: Connect, offset: Any) -> None:
    client = await connect()
    client.drop()
    client._offset = offset
    await client.connect()
    assert not client.recovered
    assert (await client.call("state"))["lost"] is True


async def test_the_offset_of_another_session_says_that_nothing_of_this_one_came(
    connect: Connect, hub: Hub
) -> None:
    client = await connect()
    realtime.emit("n", 1)
    assert await texts(client, 1) == [1]
    for old in (client._offset, "abcdef1"):
        client._pid = ""
        client.drop()
        await client.connect()
        client.drop()
        realtime.emit("n", 2)
        client._offset = old
        await client.connect()
        assert client.recovered
        assert await texts(client, 1) == [2]
        assert not client.pending()


@pytest.mark.parametrize("pid", ["mine", 7, None, "x" * 27])
async def test_a_pid_that_is_the_sites_own_is_left_alone(
    connect: Connect, serve: Serve, probe: Probe, pid: Any
) -> None:
    class Own(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            probe.note((auth, self.lost))

    serve(Own)
    client = await connect(auth={"pid": pid, "offset": "mine"})
    assert await probe.next() == ({"pid": pid, "offset": "mine"}, False)
    assert not client.recovered


async def test_a_pid_of_nobody_is_told(connect: Connect) -> None:
    client = await connect(auth={"pid": "A" * 26})
    assert not client.recovered
    assert (await client.call("state"))["lost"] is True


async def test_the_window_ends(
    connect: Connect, serve: Serve, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect()
    client.drop()
    (session,) = hub.recovery.sessions  # type: ignore[union-attr]
    assert session.timers[0].when() - hub.loop.time() == pytest.approx(60, abs=5)
    session.timers[0]._run()  # type: ignore[attr-defined]
    await client.connect()
    assert not client.recovered


async def test_a_room_that_was_too_noisy_is_told_and_others_are_not(
    connect: Connect, serve: Serve
) -> None:
    serve(Rooms, RECOVERY={"SECONDS": 60, "EVENTS": 10})
    noisy, quiet = await connect(auth={"rooms": ["noisy"]}), await connect(auth={"rooms": ["a"]})
    noisy.drop()
    quiet.drop()
    realtime.to("a").emit("n", "quiet")
    for number in range(11):
        realtime.to("noisy").emit("n", number)
    await quiet.connect()
    await noisy.connect()
    assert (quiet.recovered, noisy.recovered) == (True, False)
    assert await texts(quiet, 1) == ["quiet"]


async def test_events_while_connect_runs_come_once(
    connect: Connect, serve: Serve, probe: Probe
) -> None:
    class Slow(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            if self.recovered:
                self.emit("n", "own")
                probe.note("connecting")
                await probe.gate.wait()
            else:
                self.join("a")

    serve(Slow)
    client = await connect()
    client.drop()
    realtime.to("a").emit("n", 1)
    back = asyncio.ensure_future(client.connect())
    assert await probe.next() == "connecting"
    realtime.to("a").emit("n", 2)
    realtime.to(client.sid).emit("n", 3)
    probe.gate.set()
    await back
    assert await texts(client, 4) == [1, "own", 2, 3]
    client._offset = ""
    assert not client.pending()


async def test_what_is_emitted_during_the_replay_keeps_its_place(
    connect: Connect, serve: Serve
) -> None:
    """One number says what a client has got, so none comes before a lower one."""
    emit, emitted = asyncio.Event(), asyncio.Event()

    class Greeting(Rooms):
        async def connect(self, auth: dict[str, Any]) -> None:
            await super().connect(auth)
            if self.recovered:
                self.spawn(self.greet())

        async def greet(self) -> None:
            await emit.wait()
            self.emit("n", "its own")
            emitted.set()

    serve(Greeting, RECOVERY=RECOVERY, OUTBOX_BYTES=HIGH_WATER * 3 // 2)
    client = await connect(auth={"rooms": ["a"]}, slow=True)
    client.catch_up()
    client.drop()
    realtime.to("a").emit("n", "missed")
    await client.connect()
    realtime.to("a").emit("n", "others'")
    emit.set()
    await emitted.wait()
    client.catch_up()
    assert await texts(client, 3) == ["missed", "others'", "its own"]


async def test_a_drop_while_connect_runs_keeps_the_session(
    connect: Connect, serve: Serve, probe: Probe
) -> None:
    class Slow(NamespaceConsumer):
        async def connect(self, auth: dict[str, Any]) -> None:
            self.join("a")
            if auth.get("wait"):
                probe.note("connecting")
                await probe.gate.wait()

    serve(Slow)
    client = await connect()
    client.drop()
    realtime.to("a").emit("n", 1)
    client._auth = {"wait": True}
    back = asyncio.ensure_future(client.connect())
    assert await probe.next() == "connecting"
    realtime.to("a").emit("n", 2)
    client.drop()
    probe.gate.set()
    back.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await back
    client._auth = {}
    await client.connect()
    assert client.recovered
    assert await texts(client, 2) == [1, 2]
    assert not client.pending()


async def test_what_a_handler_emits_after_the_drop_is_not_lost(
    connect: Connect, serve: Serve, probe: Probe
) -> None:
    class Working(NamespaceConsumer):
        @event
        async def work(self) -> None:
            probe.note("at work")
            await probe.gate.wait()
            self.emit("done", 1)
            probe.note("done")

    serve(Working)
    client = await connect()
    client.emit("work")
    assert await probe.next() == "at work"
    client.drop()
    probe.gate.set()
    assert await probe.next() == "done"
    await client.connect()
    assert client.recovered
    assert await client.receive() == ("done", 1)


async def test_a_late_connect_that_takes_over_doubles_nothing(connect: Connect) -> None:
    client = await connect(auth={"rooms": ["a"]})
    client.drop()
    for number in range(5):
        realtime.to("a").emit("n", number)
    await client.connect()
    assert await texts(client, 5) == list(range(5))
    newest, client._offset = client._offset, ""
    await client.connect()  # as one of before would, which was slow
    assert await texts(client, 5) == list(range(5))
    client._offset = newest
    client.drop()
    realtime.to("a").emit("n", 5)
    await client.connect()
    assert client.recovered
    assert await texts(client, 1) == [5]
    assert not client.pending()


async def test_who_is_away_can_be_sent_to(connect: Connect) -> None:
    client = await connect()
    client.drop()
    assert await realtime.to_client(client.sid).adeliver("n", 1)
    await client.connect()
    assert await texts(client, 1) == [1]


@pytest.mark.parametrize("log", ["memory"])  # whose clock a test can turn
@pytest.mark.parametrize("got", [1, 2])
async def test_who_has_no_heartbeat_may_be_gone_for_long(
    connect: Connect, hub: Hub, monkeypatch: pytest.MonkeyPatch, got: int
) -> None:
    """Events may be too old to be kept then, and have never arrived."""
    client = await connect(auth={"rooms": ["a"]})
    sid = client.sid
    assert client._session is not None
    assert client._session.watched
    monkeypatch.setattr(TestSession, "watched", False)
    offsets = []
    for number in (1, 2):
        realtime.to("a").emit("n", number)
        assert await texts(client, 1) == [number]
        offsets.append(client._offset)
    client._offset = offsets[got - 1]
    assert hub.recovery is not None
    events = hub.recovery.log
    events._clock = lambda: hub.loop.time() + 1_000
    events.sweep()
    await client.connect()  # nobody has noticed that it was gone
    state = await client.call("state")
    assert (state["recovered"], state["lost"]) == ((False, True) if got == 1 else (True, False))
    assert (client.sid == sid) == (got == 2)
